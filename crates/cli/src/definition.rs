//! The whole command line in one definition: for completions, man pages, and a test that every
//! option has an example. The program itself builds only the parser that a call needs.

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::args::Args;
use crate::commands;
use crate::global::OPTIONS;

/// Every option and every command, with examples.
#[must_use]
pub fn definition() -> Command {
    let mut all = bare();
    let names: Vec<String> = all
        .get_subcommands()
        .map(|it| it.get_name().into())
        .collect();
    for name in names {
        let examples = examples(&name);
        all = all.mut_subcommand(name, |command| command.after_long_help(examples));
    }
    all.after_long_help(format!(
        "{}\n{}",
        crate::args::AFTER_HELP,
        examples("crabcan")
    ))
}

/// Every option and every command.
pub(crate) fn bare() -> Command {
    let all = Args::command().args(OPTIONS.iter().map(|option| {
        let arg = Arg::new(option.name)
            .long(option.name)
            .help(option.help)
            .help_heading("Before an OCI command");
        match option.value {
            Some(value) => arg.value_name(value),
            None => arg.action(ArgAction::SetTrue),
        }
    }));
    let all = all.subcommands(commands::definitions());
    all.disable_help_subcommand(true)
}

/// Examples of a command, one a line, beside those of its `--help`.
#[must_use]
pub fn examples(name: &str) -> String {
    let own = EXAMPLES.iter().filter(|(of, _)| *of == name);
    own.map(|(_, line)| format!("  {line}\n")).collect()
}

/// Those options that no other example has, by the command.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "crabcan",
        "crabcan --command 'make all' --hostname builder --userns host --as-pid-1",
    ),
    ("crabcan", "crabcan --version"),
    (
        "crabcan",
        "crabcan --cpus 0.5 --cpu-weight 50 --io-weight 50 --cpuset 0-1 --limits best-effort -- make",
    ),
    (
        "crabcan",
        "crabcan --bind-try ~/.cache /tmp/cache --dev-bind /dev/kvm /dev/kvm --dev-bind-try /dev/dri /dev/dri -- vm",
    ),
    (
        "crabcan",
        "crabcan --overlay-src /usr --tmp-overlay /usr -- make install",
    ),
    (
        "crabcan",
        "crabcan --overlay-src ~/src --overlay ~/changes ~/work /tmp/src -- make -C /tmp/src",
    ),
    (
        "crabcan",
        "crabcan --overlay-src /a --overlay-src /b --ro-overlay /mnt/both -- ls /mnt/both",
    ),
    (
        "crabcan",
        "crabcan --bind-fd 5 /tmp/d --ro-bind-fd 6 /tmp/r -- ls /tmp/d 5<~/d 6<~/r",
    ),
    (
        "crabcan",
        "crabcan --tmpfs / --mqueue /dev/mqueue --bind-data 5 /etc/hosts --remount-ro / -- CMD 5<hosts",
    ),
    (
        "crabcan",
        "crabcan --unshare time --join net:/run/netns/lab -- ip address",
    ),
    ("crabcan", "crabcan --as-pid-1 --die-with-parent -- CMD"),
    (
        "crabcan",
        "crabcan --lock-file /tmp/lock --sync-fd 5 --block-fd 6 --info-fd 7 -- CMD 5>sync 6<go 7>info.json",
    ),
    (
        "crabcan",
        "crabcan --root /run/mine --log log.json --log-format json --log-level debug list",
    ),
    (
        "crabcan",
        "crabcan --systemd-cgroup --rootless false create --bundle b web",
    ),
    (
        "crabcan",
        "crabcan --cgroup-manager disabled --criu criu run --bundle b web",
    ),
    ("doctor", "crabcan doctor --json"),
    ("explain", "crabcan explain --memory 1G -- make"),
    ("explain", "crabcan explain --bundle b --config c.json"),
    (
        "seccomp",
        "crabcan seccomp explain default clone3 --cap CAP_SYS_ADMIN --arch SCMP_ARCH_X86",
    ),
    (
        "seccomp",
        "crabcan seccomp compile ./profile.json --output filter.bpf",
    ),
    (
        "create",
        "crabcan create --bundle b --config c.json --pid-file pid --no-pivot --no-new-keyring --no-subreaper web",
    ),
    (
        "create",
        "crabcan create --console-socket tty.sock --pidfd-socket pidfd.sock --preserve-fds 2 web",
    ),
    (
        "run",
        "crabcan run --bundle b --config c.json --pid-file pid --no-pivot --no-new-keyring web",
    ),
    (
        "run",
        "crabcan run --detach --keep --no-subreaper --console-socket tty.sock --pidfd-socket p.sock --preserve-fds 2 web",
    ),
    ("start", "crabcan start web"),
    ("state", "crabcan state web"),
    ("kill", "crabcan kill --all web KILL"),
    ("kill", "crabcan kill --regex '^test-' TERM"),
    ("delete", "crabcan delete --force web"),
    ("delete", "crabcan delete --regex '^test-'"),
    (
        "exec",
        "crabcan exec --tty --cwd /tmp --env A=1 --user 1000:1000 --additional-gids 5 web sh",
    ),
    (
        "exec",
        "crabcan exec --detach --process p.json --pid-file pid --preserve-fds 1 --ignore-paused web",
    ),
    (
        "exec",
        "crabcan exec --cap CAP_NET_RAW --no-new-privs --apparmor profile --process-label label --cgroup sub web ping ::1",
    ),
    (
        "exec",
        "crabcan exec --tty --detach --console-socket tty.sock --pidfd-socket p.sock --no-subreaper web sh",
    ),
    ("ps", "crabcan ps --format json web"),
    ("list", "crabcan list --format json"),
    ("list", "crabcan list --quiet"),
    ("gc", "crabcan gc"),
    ("pause", "crabcan pause web"),
    ("resume", "crabcan resume web"),
    (
        "update",
        "crabcan update --memory 1G --memory-reservation 512M --memory-swap 2G --pids-limit 100 web",
    ),
    (
        "update",
        "crabcan update --kernel-memory 64M --kernel-memory-tcp 16M --blkio-weight 200 web",
    ),
    (
        "update",
        "crabcan update --cpu-period 100000 --cpu-quota 50000 --cpu-burst 10000 --cpu-share 512 --cpu-idle 0 web",
    ),
    (
        "update",
        "crabcan update --cpu-rt-period 1000000 --cpu-rt-runtime 950000 --cpuset-cpus 0-3 --cpuset-mems 0 web",
    ),
    (
        "update",
        "crabcan update --l3-cache-schema 'L3:0=f' --mem-bw-schema 'MB:0=50' web",
    ),
    ("update", "crabcan update --resources r.json web"),
    ("events", "crabcan events --interval 5s web"),
    ("events", "crabcan events --stats web"),
    (
        "spec",
        "crabcan spec --rootless --bundle b --file config.json",
    ),
    ("features", "crabcan features"),
    ("info", "crabcan info"),
    (
        "completion",
        "crabcan completion bash >/etc/bash_completion.d/crabcan",
    ),
    ("completion", "crabcan completion --shell zsh"),
    (
        "checkpoint",
        "crabcan checkpoint --image-path img --work-path w --leave-running --manage-cgroups-mode soft web",
    ),
    (
        "checkpoint",
        "crabcan checkpoint --pre-dump --parent-path ../pre --auto-dedup web",
    ),
    (
        "checkpoint",
        "crabcan checkpoint --lazy-pages --page-server 127.0.0.1:9 --status-fd 5 web 5>status",
    ),
    (
        "checkpoint",
        "crabcan checkpoint --tcp-established --tcp-skip-in-flight --ext-unix-sk --shell-job --file-locks --link-remap --empty-ns network web",
    ),
    (
        "restore",
        "crabcan restore --bundle b --config c.json --image-path img --work-path w --manage-cgroups-mode soft web",
    ),
    (
        "restore",
        "crabcan restore --detach --pid-file pid --pidfd-socket p.sock --console-socket tty.sock --no-subreaper web",
    ),
    (
        "restore",
        "crabcan restore --tcp-established --ext-unix-sk --shell-job --file-locks --auto-dedup --lazy-pages --empty-ns network web",
    ),
    (
        "restore",
        "crabcan restore --lsm-profile apparmor:p --lsm-mount-context c --no-pivot --no-new-keyring --preserve-fds 1 web",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a text uses an option, and not only one whose name begins the same.
    fn uses(text: &str, option: &str) -> bool {
        let words =
            text.split(|letter: char| letter.is_whitespace() || letter == '=' || letter == '[');
        words.into_iter().any(|word| word == option)
    }

    #[test]
    fn every_option_has_an_example() {
        let guide = include_str!("../../../docs/sandbox.md");
        let run: String = guide
            .lines()
            .filter(|line| line.starts_with("$ "))
            .collect();
        let all = definition();
        let mut without = Vec::new();
        let root = std::iter::once(&all);
        for command in root.chain(all.get_subcommands()) {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string);
            let mut examples = examples(name) + &help.unwrap_or_default();
            if ["crabcan", "explain", "learn"].contains(&name) {
                examples += &run;
                examples += crate::args::AFTER_HELP;
                examples += &super::examples("crabcan");
            }
            let below = command.get_subcommands().filter(|_| name != "crabcan");
            let parts = std::iter::once(command).chain(below);
            for arg in parts.flat_map(Command::get_arguments) {
                let long = arg.get_long().map(|long| format!("--{long}"));
                if let Some(long) = long.filter(|long| !uses(&examples, long)) {
                    without.push(format!("{name} {long}"));
                }
            }
        }
        assert_eq!(without, [""; 0]);
    }

    #[test]
    fn every_example_is_of_a_command_and_of_its_options() {
        let all = definition();
        for (name, line) in EXAMPLES {
            let command = match *name {
                "crabcan" => Some(&all),
                name => all.find_subcommand(name),
            };
            let command = command.cloned().unwrap_or_default();
            let parts = std::iter::once(&command).chain(command.get_subcommands());
            let known: Vec<String> = parts
                .flat_map(Command::get_arguments)
                .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
                .collect();
            let options = line
                .split(' ')
                .filter(|word| word.starts_with("--") && word.len() > 2);
            for option in options {
                let is_known = known.iter().any(|long| long == option)
                    || *name == "crabcan" && (option == "--bundle" || option == "--version");
                assert!(is_known, "{line}: {option}");
            }
        }
    }
}
