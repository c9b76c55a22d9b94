//! What a shell needs to complete a command line, from the definition of the command line.
//!
//! Written by hand for the three shells: a crate for all shells would be a thirtieth of the program.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::{Arg, Command, ValueEnum};

/// A shell that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(crabcan completion bash)`
    Bash,
    /// `crabcan completion fish | source`
    Fish,
    /// `source <(crabcan completion zsh)`
    Zsh,
}

impl Shell {
    /// The name of the file in which this shell looks for completions of crabcan's.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Bash => "crabcan.bash",
            Self::Fish => "crabcan.fish",
            Self::Zsh => "_crabcan",
        }
    }
}

/// The script for a shell.
#[must_use]
pub fn completion(shell: Shell) -> String {
    let all = crate::definition::bare();
    let places = std::iter::once(Place::new("", &all));
    let commands = all
        .get_subcommands()
        .map(|it| Place::new(it.get_name(), it));
    let places: Vec<Place<'_>> = places.chain(commands).collect();
    let names: Vec<&str> = all.get_subcommands().map(Command::get_name).collect();
    match shell {
        Shell::Bash => bash(&places, &names.join("|")),
        Shell::Fish => fish(&places, &names.join(" ")),
        Shell::Zsh => zsh(&places, &names.join("|")),
    }
}

/// What may stand behind a command's name, or before it.
struct Place<'a> {
    command: &'a str,
    /// Each with its help, as the names.
    options: Vec<(&'a Arg, String)>,
    names: Vec<(String, String)>,
}

impl<'a> Place<'a> {
    /// A command below a command has its options here too: they have different names.
    fn new(name: &'a str, command: &'a Command) -> Self {
        let below = command.get_subcommands().filter(|_| !name.is_empty());
        let parts = std::iter::once(command).chain(below);
        let options = parts.flat_map(Command::get_arguments);
        let options = options.filter(|arg| !arg.is_positional() && !arg.is_hide_set());
        let mut seen = BTreeSet::new();
        let options = options.filter(|arg| seen.insert(arg.get_id()));
        let options = options.map(|arg| (arg, first_line(arg.get_help())));
        let names = command.get_subcommands();
        let names = names.map(|it| (it.get_name().to_owned(), first_line(it.get_about())));
        let values = command.get_positionals().flat_map(Arg::get_possible_values);
        let values = values.map(|it| (it.get_name().to_owned(), first_line(it.get_help())));
        Self {
            command: name,
            options: options.collect(),
            names: names.chain(values).collect(),
        }
    }

    /// The words that begin with a dash and are not followed by a value, or are.
    fn words(&self) -> Vec<(String, &str)> {
        let each = self.options.iter().flat_map(|(arg, help)| {
            let help = help.as_str();
            spellings(arg).into_iter().map(move |word| (word, help))
        });
        let own = [("--help".to_owned(), "Print help")];
        each.chain(own).collect()
    }

    fn with_value(&self) -> Vec<String> {
        let each = self.options.iter().filter(|(arg, _)| takes_value(arg));
        each.flat_map(|(arg, _)| spellings(arg)).collect()
    }
}

fn first_line(help: Option<&clap::builder::StyledStr>) -> String {
    let text = help.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn spellings(arg: &Arg) -> Vec<String> {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    long.into_iter().chain(short).collect()
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

/// Between single quotes of sh, bash and zsh.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

const BASH: &str = r#"_crabcan() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command= word options= values= names=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        case $word in
        --) return ;;
        @names@) command=$word; break ;;
        esac
    done
    case $command in
@places@    esac
    case " $values " in *" $previous "*) return ;; esac
    case $current in -*) names=$options ;; esac
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$current")
}
complete -o bashdefault -o default -F _crabcan crabcan
"#;

fn bash(places: &[Place<'_>], names: &str) -> String {
    let mut text = String::new();
    for place in places {
        let options: Vec<String> = place.words().into_iter().map(|(word, _)| word).collect();
        let names: Vec<&str> = place.names.iter().map(|(name, _)| name.as_str()).collect();
        let [command, options, values, names] = [
            place.command,
            &options.join(" "),
            &place.with_value().join(" "),
            &names.join(" "),
        ]
        .map(quoted);
        let _ = writeln!(
            text,
            "    {command}) options={options} values={values} names={names} ;;"
        );
    }
    filled(BASH, names, &text)
}

const ZSH: &str = r#"#compdef crabcan
_crabcan() {
    local command= word values=
    local -a options names
    for word in "${(@)words[2,CURRENT - 1]}"; do
        case $word in
        --) _files; return ;;
        @names@) command=$word; break ;;
        esac
    done
    case $command in
@places@    esac
    case " $values " in *" $words[CURRENT - 1] "*) _files; return ;; esac
    case $PREFIX in
    -*) _describe -o option options ;;
    *) (( $#names )) && _describe command names; _files ;;
    esac
}
if [[ $funcstack[1] == _crabcan ]]; then _crabcan "$@"; else compdef _crabcan crabcan; fi
"#;

fn zsh(places: &[Place<'_>], names: &str) -> String {
    let described = |word: &str, help: &str| format!(" {}", quoted(&format!("{word}:{help}")));
    let mut text = String::new();
    for place in places {
        let words = place.words();
        let options: String = words
            .iter()
            .map(|(word, help)| described(word, help))
            .collect();
        let names: String = place
            .names
            .iter()
            .map(|(name, help)| described(name, help))
            .collect();
        let [command, values] = [place.command, &place.with_value().join(" ")].map(quoted);
        let _ = writeln!(
            text,
            "    {command}) values={values}\n        options=({options} )\n        names=({names} ) ;;"
        );
    }
    filled(ZSH, names, &text)
}

fn filled(form: &str, names: &str, places: &str) -> String {
    form.replace("@names@", names).replace("@places@", places)
}

fn fish(places: &[Place<'_>], names: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut text = format!("set -g __crabcan_commands {names}\n");
    for place in places {
        let when = match place.command {
            "" => "not __fish_seen_subcommand_from $__crabcan_commands".to_owned(),
            name => format!("__fish_seen_subcommand_from {name}"),
        };
        let line = format!("complete -c crabcan -n {}", quoted(&when));
        for (arg, help) in &place.options {
            let long = arg.get_long().map(|long| format!(" -l {long}"));
            let short = arg.get_short().map(|short| format!(" -s {short}"));
            let value = if takes_value(arg) { " -r" } else { "" };
            let [long, short] = [long, short].map(Option::unwrap_or_default);
            let _ = writeln!(text, "{line}{long}{short}{value} -d {}", quoted(help));
        }
        let _ = writeln!(text, "{line} -l help -d 'Print help'");
        for (name, help) in &place.names {
            let _ = writeln!(text, "{line} -f -a {name} -d {}", quoted(help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In each language as it stands there.
    #[test]
    fn every_option_and_every_command_is_told_to_every_shell() {
        let all = crate::definition();
        let scripts = [Shell::Bash, Shell::Fish, Shell::Zsh].map(|it| (it, completion(it)));
        let mut count = 0;
        for command in std::iter::once(&all).chain(all.get_subcommands()) {
            let name = command.get_name();
            let long = command.get_arguments().filter_map(Arg::get_long);
            for long in long {
                count += 1;
                for (shell, script) in &scripts {
                    let start = match (shell, name) {
                        (Shell::Fish, "crabcan") => "complete -c crabcan -n 'not __".to_owned(),
                        (Shell::Fish, name) => format!("seen_subcommand_from {name}'"),
                        (_, "crabcan") => "    '') ".to_owned(),
                        (_, name) => format!("    '{name}') "),
                    };
                    let from = script.find(&start).unwrap_or(script.len());
                    let text = script.get(from..).unwrap_or_default();
                    let (end, word) = match shell {
                        Shell::Bash => ("\n", format!("--{long}")),
                        Shell::Fish => ("-l help", format!("-l {long} ")),
                        Shell::Zsh => ("names=", format!("'--{long}:")),
                    };
                    let text = text.split(end).next().unwrap_or_default();
                    assert!(text.contains(&word), "{shell:?} {name} --{long}");
                }
            }
        }
        assert!(count > 150, "{count}");
    }
}
