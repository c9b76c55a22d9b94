//! The five Linux capability sets, applied and read back.
