//! Which parts of the host's own root a sandbox does not show.
//!
//! Homes, temporary directories and what is mounted for a while are covered by an empty tmpfs. The
//! working directory is shown again, read-only, when it lies below one of them.

use std::env;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Uid, User};

/// Directories that are always covered, with the permissions of what covers them.
const COVERED: [(&str, u32); 8] = [
    ("/home", 0o755),
    ("/root", 0o700),
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
    ("/run", 0o755),
    ("/mnt", 0o755),
    ("/media", 0o755),
    ("/srv", 0o755),
];

/// Homes of system users: covering one of these would leave nothing that could be run.
const NEEDED: [&str; 14] = [
    "/",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/usr",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/etc",
    "/dev",
    "/proc",
    "/sys",
    "/var",
];

/// One place that is not as on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Covered by an empty tmpfs with these permissions, which may be the command's own.
    Hide { path: PathBuf, mode: u32, own: bool },
    /// The working directory, shown read-only.
    Show(PathBuf),
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Hide { path, .. } | Self::Show(path) => path,
        }
    }
}

/// What a sandbox shows, and where its command starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    /// In the order of their depth, so that none covers another that came before it.
    pub(super) places: Vec<Place>,
    pub(super) working_directory: PathBuf,
}

/// The view of a sandbox made by this process.
pub(super) fn of_this_process() -> View {
    // Where a directory can't be reached by the caller it can't be reached in the sandbox either.
    let covered: Vec<_> = COVERED
        .iter()
        .filter_map(|(path, mode)| Some((canonical(Path::new(path))?, *mode)))
        .collect();
    let by_passwd = User::from_uid(Uid::current())
        .ok()
        .flatten()
        .map(|user| user.dir);
    let by_environment = env::var_os("HOME").map(PathBuf::from);
    let homes: Vec<_> = [by_passwd, by_environment]
        .into_iter()
        .flatten()
        .filter(|home| home.is_absolute())
        .filter_map(|home| canonical(&home))
        .collect();
    // A directory that has been removed, or lies outside the root, is shown by nobody.
    let working_directory = env::current_dir().ok().filter(|path| path.is_absolute());
    view(covered, homes, working_directory)
}

/// Where a directory really is; `None` for what is none. Most have no link on their way, which takes
/// half the calls to see.
fn canonical(path: &Path) -> Option<PathBuf> {
    let is_directory = |part: &Path| part.symlink_metadata().is_ok_and(|it| it.is_dir());
    let climbs = path.components().any(|part| part == Component::ParentDir);
    let mut parts = path.ancestors().filter(|part| part.parent().is_some());
    if !climbs && parts.all(is_directory) {
        return Some(path.components().collect());
    }
    path.canonicalize().ok().filter(|path| path.is_dir())
}

/// Decides; every path is absolute and without symbolic links.
fn view(
    covered: Vec<(PathBuf, u32)>,
    homes: Vec<PathBuf>,
    working_directory: Option<PathBuf>,
) -> View {
    let mut places: Vec<Place> = Vec::new();
    let hide = |(path, mode)| Place::Hide {
        path,
        mode,
        own: false,
    };
    let own = |path| Place::Hide {
        path,
        mode: 0o700,
        own: true,
    };
    let homes = homes
        .into_iter()
        .filter(|home| !NEEDED.iter().any(|needed| home == Path::new(needed)));
    for place in covered.into_iter().map(hide).chain(homes.map(own)) {
        // The same directory twice: as a home it is the command's own.
        places.retain(|other| other.path() != place.path());
        places.push(place);
    }
    let start = match working_directory {
        None => "/".into(),
        Some(path) => {
            if path == Path::new("/") {
                log::debug!("the command starts in the sandbox's own /");
            } else if places.iter().any(|place| place.path() == path) {
                log::debug!(
                    "{} itself is not shown: the command starts in an empty directory there",
                    path.display()
                );
            } else if places.iter().any(|place| path.starts_with(place.path())) {
                places.push(Place::Show(path.clone()));
            }
            path
        }
    };
    places.sort_by_key(|place| place.path().components().count());
    View {
        places,
        working_directory: start,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_is_found_behind_links() {
        let scratch = env::temp_dir().join(format!("crabcan-hidden-{}", std::process::id()));
        fs::create_dir_all(scratch.join("a/b")).unwrap();
        symlink("a", scratch.join("link")).unwrap();
        symlink("/no/such", scratch.join("broken")).unwrap();
        fs::write(scratch.join("file"), "").unwrap();
        let real = scratch.canonicalize().unwrap();
        for (path, found) in [
            ("a/b", Some("a/b")),
            ("a//./b/", Some("a/b")),
            ("a/../a", Some("a")),
            ("link", Some("a")),
            ("link/b", Some("a/b")),
            ("link/b/..", Some("a")),
            ("broken", None),
            ("file", None),
            ("file/..", None),
            ("none", None),
        ] {
            let found = found.map(|found| real.join(found));
            let path = real.join(path);
            let text = canonical(&path).map(PathBuf::into_os_string);
            assert_eq!(text, found.map(PathBuf::into_os_string), "{path:?}");
        }
        assert_eq!(canonical(Path::new("/")), Some("/".into()));
        fs::remove_dir_all(&scratch).unwrap();
    }

    fn shown(homes: &[&str], cwd: &str) -> (Vec<String>, PathBuf) {
        let covered = [("/home", 0o755), ("/tmp", 0o1777), ("/var/tmp", 0o1777)];
        let covered = covered.map(|(path, mode)| (path.into(), mode)).into();
        let view = view(
            covered,
            homes.iter().map(PathBuf::from).collect(),
            Some(cwd.into()),
        );
        let words = view.places.iter().map(|place| match place {
            Place::Hide { path, .. } => format!("-{}", path.display()),
            Place::Show(path) => format!("+{}", path.display()),
        });
        (words.collect(), view.working_directory)
    }

    #[test]
    fn a_project_in_a_home_is_shown_and_the_home_is_not() {
        let (places, start) = shown(&["/home/me"], "/home/me/project");
        assert_eq!(
            places,
            [
                "-/home",
                "-/tmp",
                "-/var/tmp",
                "-/home/me",
                "+/home/me/project"
            ]
        );
        assert_eq!(start, Path::new("/home/me/project"));
    }

    #[test]
    fn a_home_as_working_directory_stays_hidden() {
        for cwd in ["/home/me", "/home", "/tmp"] {
            let (places, start) = shown(&["/home/me"], cwd);
            assert_eq!(
                places,
                ["-/home", "-/tmp", "-/var/tmp", "-/home/me"],
                "{cwd}"
            );
            assert_eq!(start, Path::new(cwd));
        }
    }

    #[test]
    fn what_is_visible_anyway_needs_nothing() {
        assert_eq!(shown(&[], "/usr/share").0, ["-/home", "-/tmp", "-/var/tmp"]);
        assert_eq!(shown(&[], "/").0, ["-/home", "-/tmp", "-/var/tmp"]);
    }

    #[test]
    fn homes_of_system_users_do_not_take_the_programs_away() {
        assert_eq!(
            shown(&["/", "/usr/sbin", "/bin"], "/usr").0,
            ["-/home", "-/tmp", "-/var/tmp"]
        );
    }

    /// A home may lie anywhere, also below the working directory, which must not uncover it.
    #[test]
    fn a_home_below_the_working_directory_is_hidden_after_it() {
        let (places, _) = shown(&["/tmp/work/me"], "/tmp/work");
        assert_eq!(
            places,
            [
                "-/home",
                "-/tmp",
                "-/var/tmp",
                "+/tmp/work",
                "-/tmp/work/me"
            ]
        );
    }
}
