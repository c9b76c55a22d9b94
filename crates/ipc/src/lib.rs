//! Packets, booleans and file descriptors between a parent and its child over a socket pair.
