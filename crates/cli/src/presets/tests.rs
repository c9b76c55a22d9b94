#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn read(text: &str) -> anyhow::Result<Vec<String>> {
    let profile = Profile {
        name: "x.toml".into(),
        text,
        variables: Variables {
            directory: Some("/tmp".into()),
            of_environment: |name| (name == "HOME").then(|| "/home/me".into()),
        },
    };
    let words = profile.words()?.into_iter();
    Ok(words.map(|word| word.into_string().unwrap()).collect())
}

#[test]
fn keys_become_flags_in_their_order() {
    let text = "uid = 7\nroot = [[\"perms\", \"0700\"], [\"dir\", \"${HOME}/x\"]]\n\
                cpus = 0.5\ndisable-userns = true\nas-pid-1 = false\nshare = [\"net\", \"ipc\"]\n\
                tmpfs = \"${PROJECT}/y\"\n";
    let expected = [
        "--uid=7",
        "--perms=0700",
        "--dir=/home/me/x",
        "--cpus=0.5",
        "--disable-userns",
        "--share=net",
        "--share=ipc",
        "--tmpfs=/tmp/y",
    ];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn variables_of_the_environment_are_a_table_or_pairs() {
    let expected = ["--setenv", "A", "-b c"];
    assert_eq!(read("setenv = { A = \"-b c\" }").unwrap(), expected);
    assert_eq!(read("setenv = [[\"A\", \"-b c\"]]").unwrap(), expected);
}

#[test]
fn what_needs_a_variable_that_is_not_set_is_left_away_where_it_may_be() {
    let text = "root = [[\"ro-bind-try\", \"${NOT}/x\", \"/x\"], [\"dir\", \"/y\"]]\n\
                setenv = { A = \"${NOT}\" }";
    assert_eq!(read(text).unwrap(), ["--dir=/y"]);
    let needed = read("root = [[\"tmpfs\", \"${NOT}\"]]").unwrap_err();
    assert_eq!(needed.to_string(), "x.toml:1: root: NOT is not set");
}

#[test]
fn errors_name_the_file_the_line_and_the_key() {
    for (text, expected) in [
        ("\nuid = ", "x.toml:2: "),
        ("# a\n\nno-such = 1", "x.toml:3: no-such: no such option"),
        ("args = 3", "x.toml:1: args: no such option"),
        (
            "uid = 1\nmemory = \"lots\"",
            "x.toml:2: memory: --memory lots",
        ),
        ("uid = \"me\"", "x.toml:1: uid: "),
        ("uid = [1, 2]", "x.toml:1: uid: must be one value"),
        ("uid = 0x10", "x.toml:1: uid: must be text or a number"),
        (
            "disable-userns = 1",
            "x.toml:1: disable-userns: must be true or false",
        ),
        ("setenv = [[\"A\"]]", "x.toml:1: setenv: must have 2 values"),
        ("root = \"/\"", "x.toml:1: root: must be a list of lists"),
        (
            "root = [\n[\"dir\", \"/x\"],\n[\"dirs\", \"/x\"]]",
            "x.toml:3: root: \"dirs\" is no piece",
        ),
        (
            "root = [\n[\"bind\", \"/no/such\", \"/x\"]]",
            "x.toml:2: root: --bind /no/such",
        ),
        (
            "root = [[\"perms\", \"0700\"]]",
            "x.toml:1: root: --perms must be followed",
        ),
        (
            "chdir = \"${HOME\"",
            "x.toml:1: chdir: a \"${\" is not closed",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_home_is_no_project() {
    for (directory, refused) in [
        ("/", true),
        ("/home/me", true),
        ("/home", true),
        ("/home/me/p", false),
    ] {
        let variables = Variables {
            directory: Some(directory.into()),
            of_environment: |name| (name == "HOME").then(|| "/home/me".into()),
        };
        assert_eq!(
            variables.expand("${PROJECT}").is_err(),
            refused,
            "{directory}"
        );
    }
}

#[test]
fn the_shipped_ones_make_sense() {
    for (name, text) in SHIPPED {
        let words = read(text)
            .map_err(|error| format!("{name}: {error}"))
            .unwrap();
        assert!(words.len() > 3, "{name}");
    }
}
