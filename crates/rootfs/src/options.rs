//! Mount options in words, as in the OCI runtime specification and in mount(8).

use crabcan_init::format::Change;

use crate::MountAttributes;
use crate::pivot::Propagation;

/// Whether something holds for one mount, or for those below it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The mount alone.
    Mount,
    /// The mount and all below it.
    Tree,
}

/// Attributes to be set and to be cleared; none is in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// To be set.
    pub set: MountAttributes,
    /// To be cleared. Whoever changes how access times are kept clears that whole field, as
    /// mount_setattr(2) wants it.
    pub clear: MountAttributes,
}

/// Flags of a file system, not of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SuperblockFlags {
    /// `sync`: write at once.
    pub synchronous: bool,
    /// `dirsync`: write directories at once.
    pub dirsync: bool,
    /// `lazytime`: keep times in memory.
    pub lazytime: bool,
    /// `mand`: mandatory locks, which Linux has not known since 5.15.
    pub mand: bool,
    /// `iversion`: count changes; file systems that can do so always do.
    pub iversion: bool,
    /// `silent`: fewer messages in the kernel's log, by mount(2) only.
    pub silent: bool,
}

impl SuperblockFlags {
    /// Those that are set and have a name in fsconfig(2).
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let named = [
            (self.synchronous, "sync"),
            (self.dirsync, "dirsync"),
            (self.lazytime, "lazytime"),
            (self.mand, "mand"),
        ];
        named
            .into_iter()
            .filter_map(|(set, word)| set.then_some(word))
    }

    /// Takes a word, if it is one of these flags'.
    fn take(&mut self, word: &str) -> bool {
        let (flag, value) = match word {
            "sync" => (&mut self.synchronous, true),
            "async" => (&mut self.synchronous, false),
            "dirsync" => (&mut self.dirsync, true),
            "lazytime" => (&mut self.lazytime, true),
            "nolazytime" => (&mut self.lazytime, false),
            "mand" => (&mut self.mand, true),
            "nomand" => (&mut self.mand, false),
            "iversion" => (&mut self.iversion, true),
            "noiversion" => (&mut self.iversion, false),
            "silent" => (&mut self.silent, true),
            "loud" => (&mut self.silent, false),
            _ => return false,
        };
        *flag = value;
        true
    }
}

/// What a list of option words comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountOptions {
    /// `bind` or `rbind`: whatever the type says, this alone makes it a bind.
    pub bind: Option<Scope>,
    /// `remount`.
    pub remount: bool,
    /// `ro`, `nosuid` and the like.
    pub attributes: AttributeChange,
    /// `rro`, `rnosuid` and the like (Linux 5.12).
    pub recursive_attributes: AttributeChange,
    /// `rslave`, `shared` and the like, in their order: a slave can be made shared.
    pub propagation: Vec<(Propagation, Scope)>,
    /// `idmap` or `ridmap` (Linux 5.12).
    pub id_map: Option<Scope>,
    /// `tmpcopyup`: what the tmpfs covers is copied into it.
    pub tmpcopyup: bool,
    /// `copy-symlink` of crun: a source that is a symbolic link is made again at the target.
    pub copy_symlink: bool,
    /// `src-nofollow` of crun: a source that is a symbolic link is bound itself.
    pub source_no_follow: bool,
    /// `dest-nofollow` of crun: a target that is a symbolic link is covered itself.
    pub target_no_follow: bool,
    /// `sync`, `lazytime` and the like.
    pub superblock: SuperblockFlags,
    /// Every other word: the file system's own.
    pub data: Vec<String>,
}

impl MountOptions {
    /// Reads words in their order; a later one takes back what an earlier one said.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut options = Self::default();
        for word in words {
            options.take(word);
        }
        options
    }

    /// What these options change of a mount, in the order in which that is to be done: the
    /// attributes of all mounts of a tree, those of its top alone, and how mounts spread.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let attributes = [(self.recursive_attributes, true), (self.attributes, false)];
        let attributes = attributes
            .into_iter()
            .filter(|(change, _)| *change != AttributeChange::default())
            .map(|(change, recursive)| Change {
                set: change.set.bits(),
                clear: change.clear.bits(),
                propagation: 0,
                recursive,
            });
        let propagation = self.propagation.iter().map(|(propagation, scope)| Change {
            propagation: propagation.flag(),
            recursive: *scope == Scope::Tree,
            ..Change::default()
        });
        attributes.chain(propagation).collect()
    }

    fn take(&mut self, word: &str) {
        match word {
            // The kernel's defaults, whose words are `rw`, `suid`, `dev`, `exec` and `async`.
            "defaults" => {}
            "bind" => self.bind = Some(Scope::Mount),
            "rbind" => self.bind = Some(Scope::Tree),
            "remount" => self.remount = true,
            "idmap" => self.id_map = Some(Scope::Mount),
            "ridmap" => self.id_map = Some(Scope::Tree),
            "tmpcopyup" => self.tmpcopyup = true,
            "copy-symlink" => self.copy_symlink = true,
            "src-nofollow" => self.source_no_follow = true,
            "dest-nofollow" => self.target_no_follow = true,
            _ if self.superblock.take(word) || self.attributes.take(word) => {}
            _ => {
                let whole = word.strip_prefix('r');
                if let Some(propagation) = propagation(word) {
                    self.propagation.push((propagation, Scope::Mount));
                } else if let Some(propagation) = whole.and_then(propagation) {
                    self.propagation.push((propagation, Scope::Tree));
                } else if !whole.is_some_and(|rest| self.recursive_attributes.take(rest)) {
                    self.data.push(word.to_owned());
                }
            }
        }
    }
}

fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    })
}

impl AttributeChange {
    /// Takes a word, if it is an attribute's.
    fn take(&mut self, word: &str) -> bool {
        use MountAttributes as A;
        let (attribute, set) = match word {
            "ro" => (A::RDONLY, true),
            "rw" => (A::RDONLY, false),
            "nosuid" => (A::NOSUID, true),
            "suid" => (A::NOSUID, false),
            "nodev" => (A::NODEV, true),
            "dev" => (A::NODEV, false),
            "noexec" => (A::NOEXEC, true),
            "exec" => (A::NOEXEC, false),
            "nodiratime" => (A::NODIRATIME, true),
            "diratime" => (A::NODIRATIME, false),
            "nosymfollow" => (A::NOSYMFOLLOW, true),
            "symfollow" => (A::NOSYMFOLLOW, false),
            _ => return self.take_access_time(word),
        };
        if set {
            self.set |= attribute;
            self.clear = self.clear.without(attribute);
        } else {
            self.set = self.set.without(attribute);
            self.clear |= attribute;
        }
        true
    }

    /// Access times are kept in one of three ways, so that taking one back means the default.
    fn take_access_time(&mut self, word: &str) -> bool {
        use MountAttributes as A;
        let mode = match word {
            "noatime" => A::NOATIME,
            "strictatime" => A::STRICTATIME,
            "relatime" => A::NONE,
            "atime" if !self.set.contains(A::STRICTATIME) => A::NONE,
            "nostrictatime" if !self.set.contains(A::NOATIME) => A::NONE,
            // Nothing to take back: what was chosen before holds.
            "atime" | "nostrictatime" | "norelatime" => return true,
            _ => return false,
        };
        self.set = self.set.without(A::ATIME_FIELD) | mode;
        self.clear |= A::ATIME_FIELD;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MountAttributes as A;

    /// The strings that the runtime specification (1.3) says MUST, SHOULD and MAY be known.
    const SPECIFIED: [&str; 61] = [
        "async",
        "atime",
        "bind",
        "defaults",
        "dev",
        "diratime",
        "dirsync",
        "exec",
        "iversion",
        "lazytime",
        "loud",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "noiversion",
        "nolazytime",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "private",
        "rbind",
        "relatime",
        "remount",
        "ro",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "rw",
        "shared",
        "silent",
        "slave",
        "strictatime",
        "suid",
        "sync",
        "unbindable", // MUST: 37
        "idmap",
        "nosymfollow",
        "ratime",
        "rdev",
        "rdiratime",
        "rexec",
        "ridmap",
        "rnoatime",
        "rnodiratime",
        "rnoexec",
        "rnorelatime",
        "rnostrictatime",
        "rnosuid",
        "rnosymfollow",
        "rrelatime",
        "rro",
        "rrw",
        "rstrictatime",
        "rsuid",
        "rsymfollow",
        "symfollow", // SHOULD: 21
        "mand",
        "nomand",
        "tmpcopyup", // MAY: 3
    ];

    fn parse(words: &str) -> MountOptions {
        MountOptions::parse(words.split_whitespace())
    }

    #[test]
    fn every_specified_word_is_known_and_no_other() {
        for word in SPECIFIED {
            assert_eq!(parse(word).data, [""; 0], "{word}");
        }
        for word in [
            "size=64k",
            "rsize=1",
            "r",
            "",
            "rdefaults",
            "rsync",
            "RO",
            "rrro",
            "acl",
        ] {
            assert_eq!(MountOptions::parse([word]).data, [word], "{word}");
        }
    }

    #[test]
    fn words_that_do_nothing_alone() {
        let nothing = MountOptions::default();
        for word in [
            "defaults",
            "async",
            "loud",
            "nolazytime",
            "nomand",
            "noiversion",
        ] {
            assert_eq!(parse(word), nothing, "{word}");
        }
        assert_eq!(parse("norelatime"), nothing);
    }

    #[test]
    fn attributes_are_set_and_cleared() {
        let words = [
            ("ro", "rw", A::RDONLY),
            ("nosuid", "suid", A::NOSUID),
            ("nodev", "dev", A::NODEV),
            ("noexec", "exec", A::NOEXEC),
            ("nodiratime", "diratime", A::NODIRATIME),
            ("nosymfollow", "symfollow", A::NOSYMFOLLOW),
        ];
        let (none, change) = (A::NONE, |set, clear| AttributeChange { set, clear });
        for (on, off, attribute) in words {
            assert_eq!(parse(on).attributes, change(attribute, none));
            assert_eq!(parse(off).attributes, change(none, attribute));
            let last = parse(&format!("{off} {on}"));
            assert_eq!(last.attributes, change(attribute, none));
            let whole = parse(&format!("r{on} r{off}"));
            assert_eq!(whole.attributes, AttributeChange::default());
            assert_eq!(whole.recursive_attributes, change(none, attribute));
        }
    }

    #[test]
    fn access_times_are_one_choice_of_three() {
        let cases = [
            ("noatime", A::NOATIME),
            ("strictatime", A::STRICTATIME),
            ("relatime", A::NONE),
            ("atime", A::NONE),
            ("nostrictatime", A::NONE),
            ("noatime atime", A::NONE),
            ("noatime strictatime", A::STRICTATIME),
            ("strictatime atime", A::STRICTATIME),
            ("noatime nostrictatime", A::NOATIME),
            ("strictatime nostrictatime", A::NONE),
            ("noatime norelatime", A::NOATIME),
        ];
        for (words, set) in cases {
            let clear = A::ATIME_FIELD;
            let expected = AttributeChange { set, clear };
            assert_eq!(parse(words).attributes, expected, "{words}");
            let recursive: Vec<_> = words.split(' ').map(|word| format!("r{word}")).collect();
            let options = MountOptions::parse(recursive.iter().map(String::as_str));
            assert_eq!(options.recursive_attributes, expected, "{recursive:?}");
        }
    }

    #[test]
    fn what_is_no_attribute() {
        let options = parse("bind rbind idmap ridmap remount tmpcopyup rslave shared size=1 x");
        assert_eq!(options.bind, Some(Scope::Tree));
        assert_eq!(options.id_map, Some(Scope::Tree));
        assert!(options.remount && options.tmpcopyup);
        let propagation = [
            (Propagation::Slave, Scope::Tree),
            (Propagation::Shared, Scope::Mount),
        ];
        assert_eq!(options.propagation, propagation);
        assert_eq!(options.data, ["size=1", "x"]);
    }

    #[test]
    fn flags_of_the_file_system() {
        let words = |text: &str| parse(text).superblock.words().collect::<Vec<_>>();
        assert_eq!(
            words("lazytime sync mand dirsync"),
            ["sync", "dirsync", "lazytime", "mand"]
        );
        assert_eq!(words("sync lazytime async nolazytime mand nomand"), [""; 0]);
        let flags = parse("silent iversion").superblock;
        assert!(flags.silent && flags.iversion && flags.words().next().is_none());
        let flags = parse("silent iversion loud noiversion").superblock;
        assert_eq!(flags, SuperblockFlags::default());
    }
}
