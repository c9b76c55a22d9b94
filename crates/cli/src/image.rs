//! `--image`: a root, and what is said about the command, from an image on disk.

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crabcan_image::{Cache, Config, Image, Owners, Progress, user};
use crabcan_runtime::spec::{Changes, Operation};
use crabcan_runtime::{Host, Sandbox};

/// As container engines have it, where an image says nothing.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image whose layers are unpacked.
pub(crate) struct Root {
    name: String,
    config: Config,
    layers: Vec<PathBuf>,
}

impl Root {
    /// Unpacks what the cache has not yet. A frame of its own: most starts have no image.
    #[inline(never)]
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = format!("--image {}", path.display());
        let unpack = || -> anyhow::Result<Self> {
            let image = Image::open(path)?;
            let (place, owners) = place()?;
            let mut line = Line::new(path);
            let cache = Cache::open(place, owners)?;
            let layers = cache.unpack(&image, &mut |progress| line.show(progress));
            line.remove();
            Ok(Self {
                name: name.clone(),
                config: image.config().clone(),
                layers: layers?,
            })
        };
        unpack().with_context(|| name.clone())
    }

    /// The image's own command.
    pub(crate) fn command(&self) -> anyhow::Result<Vec<OsString>> {
        let words = self.config.command();
        if words.is_empty() {
            bail!("{}: has no command: add -- CMD [ARG]...", self.name);
        }
        Ok(words.into_iter().map(OsString::from).collect())
    }

    /// Says to a sandbox what the image says, before any option does.
    #[inline(never)]
    pub(crate) fn apply(&self, sandbox: Sandbox, uid: Option<u32>) -> anyhow::Result<Sandbox> {
        let who = uid.map_or_else(|| self.config.user().to_owned(), |uid| uid.to_string());
        let user = user(&self.layers, &who).with_context(|| self.name.clone())?;
        let mut sandbox = sandbox
            .operation(Operation::Overlay {
                lowers: self.layers.clone(),
                changes: Changes::ThrownAway,
                destination: "/".into(),
            })
            .clear_environment()
            .set_variable("PATH", SEARCH_PATH)
            .set_variable("HOME", user.home);
        if let Some(terminal) = std::env::var_os("TERM") {
            sandbox = sandbox.set_variable("TERM", terminal);
        }
        for variable in self.config.env() {
            let pair = variable.split_once('=');
            let (name, value) =
                pair.with_context(|| format!("{}: Env {variable:?}: no \"=\"", self.name))?;
            sandbox = sandbox.set_variable(name, value);
        }
        let directory = Path::new("/").join(self.config.working_dir());
        if directory.components().count() > 1 {
            sandbox = sandbox.operation(Operation::Directory {
                destination: directory.clone(),
                mode: 0o755,
            });
        }
        sandbox = sandbox.directory(directory);
        // An option's group is as the option's user.
        Ok(match uid {
            Some(_) => sandbox,
            None => sandbox.uid(user.uid).gid(user.gid),
        })
    }
}

/// Where layers are unpacked, and to whom they belong there: without privileges there is one id.
fn place() -> anyhow::Result<(PathBuf, Owners)> {
    let privileged = Host::current()?.privileged;
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let place = match absolute("XDG_CACHE_HOME") {
        Some(place) => place,
        None if privileged => "/var/cache".into(),
        None => absolute("HOME")
            .context("no place for its layers: set HOME or XDG_CACHE_HOME to an absolute path")?
            .join(".cache"),
    };
    let owners = match privileged {
        true => Owners::OfTheImage,
        false => Owners::OfTheCaller,
    };
    Ok((place.join("crabcan"), owners))
}

/// A line on a terminal that says how far it is, if it takes a while.
struct Line {
    path: PathBuf,
    /// When it is written next; never where standard error is no terminal.
    next: Option<Instant>,
    shown: bool,
}

impl Line {
    /// What is quicker needs no line.
    const PATIENCE: Duration = Duration::from_millis(300);
    const EVERY: Duration = Duration::from_millis(100);

    fn new(path: &Path) -> Self {
        let is_terminal = stderr().is_terminal();
        Self {
            path: path.to_owned(),
            next: is_terminal.then(|| Instant::now() + Self::PATIENCE),
            shown: false,
        }
    }

    fn show(&mut self, progress: Progress) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        let mib = |bytes| bytes >> 20;
        let (done, total) = (mib(progress.done), mib(progress.total));
        let path = self.path.display().to_string();
        // A path is anybody's; a terminal obeys what is written to it.
        let path = path.escape_debug();
        // Where it can't be shown nobody misses it.
        let _ = write!(stderr(), "\rcrabcan: unpack {path}: {done} of {total} MiB");
        self.next = Some(now + Self::EVERY);
        self.shown = true;
    }

    fn remove(&self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
