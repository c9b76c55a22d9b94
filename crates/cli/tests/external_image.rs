//! Images that podman has built and saved, in each form that it writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::process::Command;

use support::roots::static_busybox;
use support::{Leaks, TempDir, crabcan, is_root, lacks, run};

const RECIPE: &str = r#"FROM scratch
COPY busybox /bin/busybox
COPY passwd /etc/passwd
COPY files /dir/
RUN ["/bin/busybox", "rm", "-r", "/dir/gone", "/dir/sub"]
RUN ["/bin/busybox", "mkdir", "/dir/sub"]
RUN ["/bin/busybox", "chown", "5:6", "/dir/kept"]
RUN ["/bin/busybox", "ln", "/dir/kept", "/dir/same"]
ENV GREETING="hello you"
WORKDIR /work/here
USER guest
ENTRYPOINT ["/bin/busybox"]
CMD ["sh", "-c", "id -u; id -g; pwd; echo $GREETING $HOME; cd /dir; ls; ls sub; cat same; stat -c %u:%g same"]
"#;

#[test]
#[ignore = "needs packages: podman, busybox-static"]
fn what_podman_saves_is_run() {
    let _leaks = Leaks::watch();
    let Some(busybox) = static_busybox().filter(|_| is_root()) else {
        return lacks("root with a static busybox");
    };
    if Command::new("podman").arg("--version").output().is_err() {
        return lacks("podman");
    }
    let temp = TempDir::new("podman");
    let context = temp.directory("context");
    fs::copy(busybox, context.join("busybox")).unwrap();
    for directory in ["files/sub", "files"] {
        fs::create_dir_all(context.join(directory)).unwrap();
    }
    for file in ["kept", "gone", "sub/hidden"] {
        fs::write(context.join("files").join(file), file).unwrap();
    }
    fs::write(
        context.join("passwd"),
        "guest:x:1000:1001::/home/guest:/bin/sh\n",
    )
    .unwrap();
    fs::write(context.join("Dockerfile"), RECIPE).unwrap();
    let podman = |words: &[&str]| {
        let mut podman = Command::new("podman");
        podman.args(["--storage-driver", "vfs", "--root"]);
        podman.arg(temp.path().join("storage")).arg("--runroot");
        podman.arg(temp.path().join("run")).args(words);
        let output = podman.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    let build = [
        "build",
        "--quiet",
        "--layers",
        "--isolation",
        "chroot",
        "--tag",
        "made",
    ];
    podman(&[&build[..], &[context.to_str().unwrap()]].concat());
    let expected = "1000\n1001\n/work/here\nhello you /home/guest\nkept\nsame\nsub\nkept5:6\n";
    for format in ["oci-archive", "oci-dir", "docker-archive"] {
        let path = temp.path().join(format);
        let path = path.to_str().unwrap();
        podman(&[
            "save", "--quiet", "--format", format, "--output", path, "made",
        ]);
        let mut command = crabcan(["--image", path]);
        // Unpacked anew: each form has its layers in its own way.
        command.env(
            "XDG_CACHE_HOME",
            temp.path().join(format!("cache-{format}")),
        );
        assert_eq!(run(&mut command).success(), expected, "{format}");
    }
}
