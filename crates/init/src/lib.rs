//! The steps of a container's start: their flat format, their code, and the small program that walks them.
