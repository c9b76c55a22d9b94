//! From a specification to a plan to a running container.
