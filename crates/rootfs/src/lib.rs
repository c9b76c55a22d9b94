//! A container's root file system, assembled beneath a file descriptor.
