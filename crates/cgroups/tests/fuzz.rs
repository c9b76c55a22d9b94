//! Fuzz targets: what the kernel and configurations say of cgroups, and programs for devices. See
//! docs/CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and says what it did"
)]

#[cfg(feature = "systemd")]
mod dbus;
#[path = "../../../xtask/fuzz/driver.rs"]
mod driver;
mod targets;

#[test]
fn hierarchy() {
    let corpus: [&[u8]; 2] = [
        b"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu\n\
          40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
          41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n---\n\
          9:name=systemd:/\n1:cpu,cpuacct:/a b\n0::/\n",
        b"41 31 0:38 /user.slice /mnt/my\\040groups rw shared:5 - cgroup2 none rw\n---\n\
          0::/user.slice/me.scope (deleted)\n",
    ];
    let words = [
        "cgroup2", "cgroup", " - ", "\\040", "\\134", "memory", "name=", "..", "/", ":", "\n---\n",
        "0::/",
    ];
    driver::fuzz("hierarchy", &corpus, &words, targets::hierarchy);
}

#[test]
fn place() {
    let corpus: [&[u8]; 2] = [b"4:memory:/own/one\n0::/a\n", b"1:name=systemd:/\n"];
    let words = ["/", "..", ":", "cpu,cpuacct", "\n", "0::/"];
    driver::fuzz("place", &corpus, &words, targets::place);
}

#[test]
fn path() {
    let corpus: [&[u8]; 2] = [b"/machine.slice/a", b"relative/./b//c"];
    driver::fuzz(
        "path",
        &corpus,
        &["..", "/", ".", "\n", "\0"],
        targets::path,
    );
}

#[cfg(feature = "systemd")]
#[test]
fn bus() {
    let session = dbus::session();
    let refused = dbus::refusal(1, "org.freedesktop.systemd1.UnitExists", "exists");
    let words = [
        "l\u{2}\u{1}\u{1}",
        "s",
        "a(sv)",
        "done",
        "/job/9",
        "\0\0\0\0",
        "JobRemoved",
    ];
    driver::fuzz("bus", &[&session, &refused], &words, targets::bus);
}

#[test]
fn devices() {
    let corpus: [&[u8]; 3] = [
        &[0, 0, 0, 7],
        &[1, 1, 3, 6, 0, 0, 0, 7],
        &[5, 2, 5, 1, 2, 9, 9, 4],
    ];
    driver::fuzz("devices", &corpus, &[], targets::devices);
}
