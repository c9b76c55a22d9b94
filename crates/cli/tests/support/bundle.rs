//! Bundles made on the spot: a root that shows the host's programs, and a state directory of a
//! test's own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Outcome, TempDir, crabcan, run};

/// What a container with a changed configuration prints, line by line.
#[track_caller]
pub(crate) fn seen(name: &str, script: &str, change: impl FnOnce(&mut Bundle)) -> Vec<String> {
    let mut bundle = Bundle::new(name, script);
    change(&mut bundle);
    bundle.lines()
}

/// A bundle and the containers that are made from it; both are gone when it is dropped.
pub(crate) struct Bundle {
    pub(crate) directory: TempDir,
    pub(crate) config: Value,
    /// What stands before every command.
    pub(crate) before: Vec<String>,
}

impl Bundle {
    /// A container of five namespaces whose program is a line of shell.
    pub(crate) fn new(name: &str, script: &str) -> Self {
        let directory = TempDir::new(name);
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
            json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
                "options": ["mode=1777"]}),
        ];
        for path in ["/bin", "/lib", "/lib64", "/usr", "/etc"] {
            if Path::new(path).is_dir() {
                mounts.push(json!({"destination": path, "type": "bind", "source": path,
                    "options": ["rbind", "ro"]}));
            }
        }
        for mount in &mounts {
            let path = mount["destination"].as_str().expect("a path");
            if !path.starts_with("/dev/") {
                directory.directory(&format!("rootfs{path}"));
            }
        }
        let kinds = ["pid", "ipc", "uts", "mount", "network"];
        let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
        // What crun 1.8.1 knows, where it is seen failing.
        let version = match std::env::var_os("CRABCAN_TEST_RUNTIME") {
            Some(_) => "1.0.2",
            None => "1.2.0",
        };
        // Ids are a state directory's own, cgroups are all of the machine's.
        let cgroup = directory.path().file_name().expect("a name").to_owned();
        let config = json!({
            "ociVersion": version,
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/sh", "-c", script],
                "env": ["PATH=/usr/bin:/bin", "LC_ALL=C"],
                "cwd": "/",
                "noNewPrivileges": true,
            },
            "root": {"path": "rootfs"},
            "hostname": "bundle",
            "mounts": mounts,
            "annotations": {"org.example.key": "value"},
            "linux": {"namespaces": namespaces, "cgroupsPath": cgroup.to_string_lossy()},
        });
        let before = vec![
            "--root".to_owned(),
            directory.path().join("state").display().to_string(),
        ];
        Self {
            directory,
            config,
            before,
        }
    }

    /// The same as an ordinary user's: with a user namespace that has the caller's id alone.
    pub(crate) fn rootless(mut self) -> Self {
        let (uid, gid) = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        if uid != 0 {
            // Nothing may be delegated to this user.
            self.config["linux"]
                .as_object_mut()
                .expect("an object")
                .remove("cgroupsPath");
        }
        self.user_namespace([uid, gid], 1);
        self
    }

    /// Adds a user namespace, with so many of the host's user and group ids from these on.
    pub(crate) fn user_namespace(&mut self, first: [u32; 2], size: u32) {
        let linux = &mut self.config["linux"];
        let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": size}]);
        linux["uidMappings"] = map(first[0]);
        linux["gidMappings"] = map(first[1]);
        let namespaces = linux["namespaces"].as_array_mut().expect("a list");
        namespaces.push(json!({"type": "user"}));
    }

    pub(crate) fn script(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    }

    pub(crate) fn state_directory(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// A command of this state directory; the bundle's configuration is written before.
    pub(crate) fn command<I>(&self, args: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let text = serde_json::to_vec_pretty(&self.config).expect("JSON");
        fs::write(self.directory.path().join("config.json"), text).expect("write it");
        let mut command = crabcan(&self.before);
        command.args(args).current_dir(self.directory.path());
        command
    }

    /// Runs a command of this state directory.
    #[track_caller]
    pub(crate) fn run(&self, words: &str) -> Outcome {
        run(&mut self.command(words.split(' ')))
    }

    /// What a container of this bundle prints, line by line, while its command has nothing to say.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<String> {
        let output = self.run("run --no-new-keyring c").success();
        output.lines().map(str::to_owned).collect()
    }

    /// Adds a mount behind the others.
    pub(crate) fn mount(&mut self, mount: Value) {
        let mounts = self.config["mounts"].as_array_mut().expect("a list");
        mounts.push(mount);
    }

    /// A line of shell in a mount namespace of its own, in the bundle's directory: `c WORDS` is a
    /// command of the state directory.
    pub(crate) fn among_own_mounts(&self, script: &str) -> Command {
        // Writes the configuration.
        let mut program: Vec<String> = Vec::new();
        let command = self.command(["--"]);
        program.push(command.get_program().to_string_lossy().into_owned());
        program.extend(self.before.iter().cloned());
        let script = format!("c() {{ {} \"$@\"; }}; set -e; {script}", program.join(" "));
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c"])
            .arg(script)
            .current_dir(self.directory.path());
        command
    }

    /// In a container with the mount `data` on `/data`: how many of the host's later mounts below it
    /// the container has, and how many of the container's the host has.
    pub(crate) fn later_mounts(&self) -> Vec<String> {
        let script = "mount -t tmpfs t data; mount --make-shared data; mkdir data/host data/own; \
        c run -d one >/dev/null </dev/null; \
        mount -t tmpfs later data/host; c exec one mount -t tmpfs own /data/own; \
        c exec one grep -c ' /data/host ' /proc/self/mountinfo || :; \
        grep -c 'data/own ' /proc/self/mountinfo || :; \
        c delete --force one";
        let output = run(&mut self.among_own_mounts(script)).success();
        output.lines().map(str::to_owned).collect()
    }

    /// Runs a command whose container outlives it.
    #[track_caller]
    pub(crate) fn leave(&self, words: &str) -> Outcome {
        self.leave_behind(&mut self.command(words.split(' ')))
    }

    /// Runs a command of this state directory, behind the words of a program that becomes somebody
    /// else; a container may outlive it.
    #[track_caller]
    pub(crate) fn leave_by(&self, mut other: Command, words: &str) -> Outcome {
        let command = self.command(words.split(' '));
        other.arg(command.get_program()).args(command.get_args());
        self.leave_behind(other.current_dir(self.directory.path()))
    }

    /// A container keeps what its command was given: the output goes to files.
    #[track_caller]
    fn leave_behind(&self, command: &mut Command) -> Outcome {
        let path = |name: &str| self.directory.path().join(name);
        let file = |name: &str| fs::File::create(path(name)).expect("make a file");
        let status = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .status()
            .expect("start it");
        let read = |name: &str| fs::read(path(name)).expect("read it");
        let bytes = read("stdout");
        Outcome {
            status,
            stdout: String::from_utf8_lossy(&bytes).into_owned(),
            stderr: String::from_utf8_lossy(&read("stderr")).into_owned(),
            bytes,
        }
    }

    /// The state of a container.
    #[track_caller]
    pub(crate) fn state(&self, id: &str) -> Value {
        let text = self.run(&format!("state {id}")).success();
        serde_json::from_str(&text).expect("JSON")
    }

    #[track_caller]
    pub(crate) fn status(&self, id: &str) -> String {
        self.state(id)["status"]
            .as_str()
            .expect("a word")
            .to_owned()
    }

    /// Everything in the state directory.
    pub(crate) fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.state_directory()).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for id in self.entries() {
            let outcome = run(&mut self.command(["delete", "--force", &id]));
            if !std::thread::panicking() {
                assert_eq!(outcome.code(), 0, "{outcome:?}");
            }
        }
    }
}
