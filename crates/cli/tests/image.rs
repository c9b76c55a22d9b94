//! `--image`: the root and the defaults of a sandbox from an image on disk, as an ordinary user and
//! as root; and what happens to its cache when things end in the midst.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

#[path = "../../image/tests/make/mod.rs"]
mod make;
mod support;
#[path = "tty/sys.rs"]
mod sys;
#[path = "tty/terminal.rs"]
mod terminal;
mod tty;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use make::{Layout, Tar, docker_archive};
use support::roots::{has_lower_layers, host_programs, listing};
use support::{Leaks, TempDir, crabcan, is_root, run};
use tar::EntryType;
use terminal::Terminal;

/// An image with the layers, as an OCI image layout.
struct Image {
    temp: TempDir,
    path: String,
}

impl Image {
    fn new(name: &str, layers: &[Vec<u8>], config: &str) -> Self {
        let temp = TempDir::new(name);
        let layout = Layout::image(temp.path().join("layout"), layers, config);
        let path = layout.0.to_str().unwrap().to_owned();
        Self { temp, path }
    }

    /// A sandbox of it, with the host's programs and a cache of the test's own.
    fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = self.bare();
        command.args(host_programs()).args(words);
        command
    }

    fn bare(&self) -> Command {
        let mut command = crabcan(["--image", &self.path]);
        command.env("XDG_CACHE_HOME", self.temp.path().join("cache"));
        command.env("SECRET", "x").env("LANG", "x");
        command.env_remove("TERM");
        command
    }

    /// The layers that are in the cache.
    fn cached(&self) -> BTreeSet<String> {
        let layers = self.temp.path().join("cache/crabcan/layers");
        let entries = fs::read_dir(layers).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.collect()
    }
}

const CONFIG: &str = r#"{"User":"guest","Env":["A=b=c","PATH=/usr/bin:/bin"],
    "Entrypoint":["/bin/sh","-c"],"Cmd":["id -u; id -g; pwd; /usr/bin/env | sort"],"WorkingDir":"/w/x"}"#;

fn base() -> Vec<u8> {
    let passwd = b"guest:x:5:6::/home/guest:/bin/sh\n";
    let tar = Tar::new().file("etc/passwd", passwd).file("etc/kept", b"");
    tar.file("etc/gone", b"").file("old/file", b"").finish()
}

#[test]
fn the_image_says_what_runs_and_how() {
    let _leaks = Leaks::watch();
    let image = Image::new("image-config", &[base()], CONFIG);
    let own = run(&mut image.command::<&str>(&[])).success();
    let expected = "5\n6\n/w/x\nA=b=c\nHOME=/home/guest\nPATH=/usr/bin:/bin\nPWD=/w/x\n";
    assert_eq!(own, expected);
    let docker = image.temp.path().join("docker.tar");
    fs::write(&docker, docker_archive(&[base()], CONFIG)).unwrap();
    let mut command = crabcan(["--image", docker.to_str().unwrap()]);
    command
        .args(host_programs())
        .env_remove("TERM")
        .env("LANG", "x");
    command.env("XDG_CACHE_HOME", image.temp.path().join("cache"));
    assert_eq!(run(&mut command).success(), expected);
    assert_eq!(image.cached().len(), 1, "the same layer in another archive");
}

#[test]
fn options_win_over_the_image() {
    let _leaks = Leaks::watch();
    let image = Image::new("image-options", &[base()], CONFIG);
    let script = "id -u; id -g; pwd; echo $A $B $HOME";
    let run_with = |options: &[&str]| {
        let words = [options, &["--", "/bin/sh", "-c", script]].concat();
        run(&mut image.command(&words)).success()
    };
    let set = ["--uid", "9", "--chdir", "/etc", "--setenv", "A", "1"];
    assert_eq!(run_with(&set), "9\n9\n/etc\n1 /\n");
    let group = ["--uid", "9", "--gid", "10", "--unsetenv", "A"];
    assert_eq!(run_with(&group), "9\n10\n/w/x\n/\n");
    let clear = ["--clearenv", "--setenv", "B", "2"];
    assert_eq!(run_with(&clear), "5\n6\n/w/x\n2\n");
    let keep = ["--", "/bin/sh", "-c", "echo ${SECRET-none}"];
    assert_eq!(run(&mut image.command(&keep)).success(), "none\n");
    let keep = [&["--keep-env"][..], &keep].concat();
    assert_eq!(run(&mut image.command(&keep)).success(), "x\n");
}

/// What a sandbox writes is thrown away, and the layers stay as they are.
#[test]
fn layers_lie_over_one_another_and_are_never_changed() {
    let _leaks = Leaks::watch();
    let upper = Tar::new().file("etc/.wh.gone", b"").directory("old");
    let upper = upper.file("old/.wh..wh..opq", b"").file("old/new", b"");
    let layers = [base(), upper.finish()];
    let image = Image::new("image-layers", &layers, "null");
    let script = "cd /; echo etc/* old/*; echo x >etc/kept; rm old/new; cat etc/kept; echo old/*";
    // The owner of the image's files: nobody in a sandbox writes what others own.
    let words = ["--uid", "7", "--gid", "8", "--", "/bin/sh", "-c", script];
    let command = || image.command(&words);
    if !has_lower_layers() {
        // docs/kernel-features.md: older kernels refuse several, and one needs nothing new.
        run(&mut command()).failure(125);
        return;
    }
    let expected = "etc/kept etc/passwd old/new\nx\nold/*\n";
    assert_eq!(run(&mut command()).success(), expected);
    assert_eq!(image.cached().len(), 2);
    let cache = image.temp.path().join("cache/crabcan/layers");
    let before = listing(&cache);
    assert_eq!(run(&mut command()).success(), expected);
    assert_eq!(listing(&cache), before);
}

/// What no member speaks of is made open to all, as for any user of an image.
#[test]
fn the_callers_umask_is_not_the_images() {
    let _leaks = Leaks::watch();
    let layer = Tar::new().file("a/b/file", b"").finish();
    let image = Image::new("image-umask", &[layer], "null");
    let mut masked = Command::new("/bin/sh");
    masked.args(["-c", "umask 077; exec \"$0\" \"$@\""]);
    let command = image.command(&["--", "stat", "-c", "%a", "/", "/a", "/a/b", "/a/b/file"]);
    masked.arg(command.get_program()).args(command.get_args());
    masked.env("XDG_CACHE_HOME", image.temp.path().join("cache"));
    assert_eq!(run(&mut masked).success(), "755\n755\n755\n644\n");
}

/// Root's image keeps its owners, which nothing on the host has: in the sandbox they are as the
/// image says. For an ordinary user all files are its own.
#[test]
fn owners_are_the_images_for_root_and_the_callers_for_others() {
    let _leaks = Leaks::watch();
    let su = Tar::new().member(EntryType::Regular, "su", "", 0o4755, b"");
    let image = Image::new("image-owners", &[su.finish()], "null");
    let words = ["--", "/bin/sh", "-c", "stat -c '%u:%g %a' /su; id -u"];
    let said = run(&mut image.command(&words)).success();
    let expected = match is_root() {
        true => "7:8 755\n0\n",
        false => "0:0 755\n0\n",
    };
    assert_eq!(said, expected);
}

#[test]
fn what_is_wrong_is_told_in_a_line() {
    let _leaks = Leaks::watch();
    let hostile = Tar::new().symlink("l", "/tmp").file("l/x", b"").finish();
    let image = Image::new("image-wrong", &[hostile], "null");
    let failure = |command: &mut Command| run(command).failure(125).to_owned();
    let text = failure(&mut image.bare());
    let begin = format!("--image {}: unpack the layer sha256:", image.path);
    assert!(text.starts_with(&begin), "{text}");
    assert!(
        text.ends_with("l/x: \"l\" above it is no directory"),
        "{text}"
    );
    assert!(image.cached().is_empty());
    let saved = br#"[{"Config":"\u001b]0;title\u0007","Layers":[]}]"#;
    let archive = image.temp.path().join("escapes.tar");
    fs::write(&archive, Tar::new().file("manifest.json", saved).finish()).unwrap();
    let text = failure(&mut crabcan([
        "--image",
        archive.to_str().unwrap(),
        "--",
        "true",
    ]));
    assert!(
        text.ends_with("\\u{1b}]0;title\\u{7}: is not there"),
        "{text}"
    );
    let damaged = Image::new("image-damaged", &[base()], "null");
    let blob = Layout(damaged.path.clone().into()).blob_path(crabcan_image::Digest::of(&base()));
    fs::write(blob, [base(), vec![0]].concat()).unwrap();
    let outcome = run(&mut damaged.bare());
    assert!(
        outcome
            .failure(125)
            .contains("its contents: has the digest"),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .ends_with("hint: the image is damaged, or was changed: save it again\n")
    );
    let absent = failure(&mut crabcan(["--image", "/no/such", "--", "true"]));
    assert!(absent.contains("/no/such: No such file"), "{absent}");
    let both = failure(&mut crabcan([
        "--image", "/x", "--mount", "/y", "--", "true",
    ]));
    assert!(
        both.contains("--image") && both.contains("--mount"),
        "{both}"
    );
    let empty = Image::new("image-empty", &[Tar::new().finish()], "null");
    let text = failure(&mut empty.bare());
    assert!(
        text.ends_with("has no command: add -- CMD [ARG]..."),
        "{text}"
    );
    for (config, expected) in [
        (
            r#"{"User":"nobody"}"#,
            "config.User \"nobody\": is not in the image's /etc/passwd",
        ),
        (r#"{"Env":["x"]}"#, "Env \"x\": no \"=\""),
        (r#"{"WorkingDir":"/a/../b"}"#, "\"..\""),
    ] {
        let image = Image::new("image-config", &[Tar::new().finish()], config);
        let text = failure(image.bare().args(["--", "true"]));
        assert!(text.contains(expected), "{config}: {text}");
    }
    let mut homeless = crabcan(["--image", &empty.path, "--", "true"]);
    homeless.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    if !is_root() {
        let text = failure(&mut homeless);
        assert!(
            text.ends_with("set HOME or XDG_CACHE_HOME to an absolute path"),
            "{text}"
        );
    }
}

/// A layer of many files, which takes a while.
fn large() -> Vec<u8> {
    let data: Vec<u8> = (0..5_000u32).flat_map(u32::to_le_bytes).collect();
    let names = (0..200).map(|number| format!("d{}/f{number}", number % 7));
    names
        .fold(Tar::new(), |tar, name| tar.file(&name, &data))
        .finish()
}

/// Two layers, where the kernel takes more than one.
fn two_layers() -> Vec<Vec<u8>> {
    let first = has_lower_layers().then(base);
    first.into_iter().chain([large()]).collect()
}

/// Killed at any moment, it leaves no layer that is not whole, and nothing in the way of the next.
#[test]
fn killed_in_the_midst_nothing_is_half_there() {
    let _leaks = Leaks::watch();
    let layers = two_layers();
    let image = Image::new("image-killed", &layers, "null");
    let whole = Image::new("image-whole", &layers, "null");
    let words = ["--", "true"];
    let begin = Instant::now();
    run(&mut whole.command(&words)).success();
    let time = begin.elapsed();
    let sums = |image: &Image| {
        let cache = image.temp.path().join("cache/crabcan/layers");
        if !cache.exists() {
            return Vec::new();
        }
        let files = listing(&cache).into_keys().filter(|path| path.is_file());
        let sums = files.map(|path| {
            let digest = crabcan_image::Digest::of(&fs::read(&path).unwrap());
            (path.strip_prefix(&cache).unwrap().to_owned(), digest)
        });
        sums.collect::<Vec<_>>()
    };
    let all = sums(&whole);
    let (mut round, mut half) = (0, 0);
    // When it is in the midst is another moment each time.
    while round < 12 || half < 3 {
        assert!(round < 240, "{half} of {round} were killed in the midst");
        let mut child = image.command(&words);
        let mut child = child
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(time * (round % 12) / 12);
        child.kill().unwrap();
        child.wait().unwrap();
        half += u32::from(image.temp.path().join("cache/crabcan/new").exists());
        for found in sums(&image) {
            assert!(all.contains(&found), "{found:?} after {round}");
        }
        let names = image.cached();
        let files = sums(&image).len();
        let expected = [0, 4, 200, 204].contains(&files) && names.len() <= layers.len();
        assert!(expected, "{files} files in {names:?}");
        if names.len() == layers.len() {
            fs::remove_dir_all(image.temp.path().join("cache")).unwrap();
        }
        round += 1;
    }
    run(&mut image.command(&words)).success();
    assert_eq!(sums(&image), all);
    assert!(!image.temp.path().join("cache/crabcan/new").exists());
}

#[test]
fn several_at_once_unpack_it_once() {
    let _leaks = Leaks::watch();
    let image = Image::new("image-at-once", &two_layers(), "null");
    let start = || {
        let mut command = image.command(&["--", "ls", "/d1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let running: Vec<_> = (0..4).map(|_| start()).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.lines().count(), 29, "{output:?}");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    assert_eq!(image.cached().len(), two_layers().len());
}

/// On a terminal, and only there, a line says how far it is, and goes away again.
#[test]
fn a_line_on_a_terminal_says_how_far_it_is() {
    let _leaks = Leaks::watch();
    let zeros = vec![0; 16 << 20];
    let layer = Tar::new().file("zeros", &zeros).finish();
    let image = Image::new("image-line", &[layer], "null");
    let mut terminal = Terminal::new();
    let begin = Instant::now();
    terminal.start(&mut image.command(&["--", "echo", "started"]));
    terminal.expect("started");
    assert_eq!(terminal.code(), 0);
    let text = terminal.text();
    let line = format!("\rcrabcan: unpack {}: ", image.path);
    if begin.elapsed() < Duration::from_millis(300) {
        eprintln!("not tested: it was too quick for a line");
    } else {
        assert!(
            text.contains(&line) && text.contains(" of 16 MiB"),
            "{text:?}"
        );
    }
    let mut quiet = image.command(&["--", "true"]);
    fs::remove_dir_all(image.temp.path().join("cache")).unwrap();
    assert_eq!(run(&mut quiet).success(), "");
}
