//! Mount options in words, as in the OCI runtime specification and in mount(8).

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
