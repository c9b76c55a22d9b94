//! `hooks` of the specification.

use std::path::PathBuf;

use super::property::properties;

properties! {
    /// Programs that are run at six points of a container's life, each with the container's state
    /// on its standard input.
    pub struct Hooks {
        /// Deprecated: as `createRuntime`, and before it.
        "prestart" => prestart: Vec<Hook>,
        /// Of the host and in its namespaces: when the container's are made, before the pivot.
        "createRuntime" => create_runtime: Vec<Hook>,
        /// Of the host, in the container's namespaces: before the pivot.
        "createContainer" => create_container: Vec<Hook>,
        /// Of the container and in its namespaces: before the program is executed.
        "startContainer" => start_container: Vec<Hook>,
        /// Of the host and in its namespaces: after the program was executed.
        "poststart" => poststart: Vec<Hook>,
        /// Of the host and in its namespaces: after the container was deleted.
        "poststop" => poststop: Vec<Hook>,
    }

    /// One program.
    pub struct Hook {
        /// The program's file, absolute.
        "path" => path: PathBuf,
        /// Its arguments, the first of them its name; the path alone if there are none.
        "args" => args: Vec<String>,
        /// Its whole environment, each `NAME=value`; a `startContainer` hook without one has the
        /// program's.
        "env" => env: Vec<String>,
        /// After how many seconds it is ended and has failed; more than 0.
        "timeout" => timeout: Option<i64>,
    }
}

impl Hooks {
    /// The kinds with their names in `config.json`, in the order of a container's life.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, &[Hook]); 6] {
        [
            ("prestart", &self.prestart),
            ("createRuntime", &self.create_runtime),
            ("createContainer", &self.create_container),
            ("startContainer", &self.start_container),
            ("poststart", &self.poststart),
            ("poststop", &self.poststop),
        ]
    }
}
