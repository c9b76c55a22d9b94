//! Linux namespaces, id maps, and clone on a heap stack that is safe in threaded programs.
