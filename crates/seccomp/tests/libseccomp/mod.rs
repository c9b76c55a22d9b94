//! The C library, loaded when a test runs: nothing needs it to build.
#![allow(
    unsafe_code,
    dead_code,
    reason = "calls of a C library, shared by test programs"
)]

pub(crate) mod beside;
pub(crate) mod files;

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

use crabcan_seccomp::{Comparison, Instruction};

type Context = *mut c_void;
type Init = unsafe extern "C" fn(u32) -> Context;
type Release = unsafe extern "C" fn(Context);
type ArchAdd = unsafe extern "C" fn(Context, u32) -> c_int;
type RuleAddArray = unsafe extern "C" fn(Context, u32, c_int, c_uint, *const Condition) -> c_int;
type AttrSet = unsafe extern "C" fn(Context, c_int, u32) -> c_int;
type ExportBpf = unsafe extern "C" fn(Context, c_int) -> c_int;
type ResolveName = unsafe extern "C" fn(*const c_char) -> c_int;
type ResolveNameArch = unsafe extern "C" fn(u32, *const c_char) -> c_int;

/// `struct scmp_arg_cmp`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Condition {
    argument: c_uint,
    operator: c_int,
    one: u64,
    two: u64,
}

impl Condition {
    pub(crate) fn new(argument: u32, comparison: Comparison) -> Self {
        let (operator, one, two) = match comparison {
            Comparison::Ne(value) => (1, value, 0),
            Comparison::Lt(value) => (2, value, 0),
            Comparison::Le(value) => (3, value, 0),
            Comparison::Eq(value) => (4, value, 0),
            Comparison::Ge(value) => (5, value, 0),
            Comparison::Gt(value) => (6, value, 0),
            Comparison::MaskedEq { mask, value } => (7, mask, value),
            _ => (0, 0, 0),
        };
        Self {
            argument,
            operator,
            one,
            two,
        }
    }
}

/// `libseccomp.so.2`.
pub(crate) struct Library {
    init: Init,
    release: Release,
    architecture: ArchAdd,
    without: ArchAdd,
    rule: RuleAddArray,
    attribute: AttrSet,
    export: ExportBpf,
    resolve: ResolveName,
    resolve_on: ResolveNameArch,
}

impl Library {
    /// Loads it; nothing where it is not installed.
    pub(crate) fn load() -> Option<Self> {
        // SAFETY: a string with its NUL; the library has no constructors that touch this program.
        let handle = unsafe { libc::dlopen(c"libseccomp.so.2".as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: the handle is never closed.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        macro_rules! function {
            ($name:literal, $type:ty) => {
                // SAFETY: the type is that of seccomp.h for this name, and `Library` says it.
                unsafe { std::mem::transmute::<*mut c_void, $type>(symbol($name)?) }
            };
        }
        Some(Self {
            init: function!(c"seccomp_init", Init),
            release: function!(c"seccomp_release", Release),
            architecture: function!(c"seccomp_arch_add", ArchAdd),
            without: function!(c"seccomp_arch_remove", ArchAdd),
            rule: function!(c"seccomp_rule_add_array", RuleAddArray),
            attribute: function!(c"seccomp_attr_set", AttrSet),
            export: function!(c"seccomp_export_bpf", ExportBpf),
            resolve: function!(c"seccomp_syscall_resolve_name", ResolveName),
            resolve_on: function!(c"seccomp_syscall_resolve_name_arch", ResolveNameArch),
        })
    }

    /// The number of a call on an architecture; nothing where the library knows none.
    pub(crate) fn number(&self, audit: u32, name: &str) -> Option<u32> {
        let name = CString::new(name).ok()?;
        // SAFETY: a string with its NUL.
        let number = unsafe { (self.resolve_on)(audit, name.as_ptr()) };
        u32::try_from(number).ok()
    }

    /// A filter with this default action for no architecture but these.
    pub(crate) fn filter(&self, default: u32, tokens: &[u32]) -> Builder<'_> {
        // SAFETY: the library checks the number.
        let context = unsafe { (self.init)(default) };
        assert!(!context.is_null(), "seccomp_init({default:#x})");
        let builder = Builder {
            library: self,
            context,
            actions: RefCell::new(vec![default]),
        };
        // First: architectures of two byte orders do not go into one filter.
        if !tokens.contains(&NATIVE) {
            // SAFETY: the context is a live one of the library's.
            let answer = unsafe { (self.without)(builder.context, NATIVE) };
            assert_eq!(answer, 0, "remove the native architecture");
        }
        tokens.iter().for_each(|token| builder.architecture(*token));
        builder
    }
}

/// What a new filter is for. The test programs run on other machines as well, but compare there with
/// the same filters.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(not(target_arch = "x86_64"))]
const NATIVE: u32 = 0xc000_00b7;

/// A filter that is being made.
pub(crate) struct Builder<'l> {
    library: &'l Library,
    context: Context,
    /// All that the filter may return, but for the answer to other architectures.
    actions: RefCell<Vec<u32>>,
}

impl Builder<'_> {
    /// Adds an architecture by the library's token; one that is there already is no error.
    fn architecture(&self, token: u32) {
        // SAFETY: the context is a live one of the library's.
        let answer = unsafe { (self.library.architecture)(self.context, token) };
        assert!(
            [0, -libc::EEXIST].contains(&answer),
            "architecture {token:#x}: {answer}"
        );
    }

    /// `SCMP_FLTATR_CTL_OPTIMIZE`: 1 by default, 2 for the tree.
    pub(crate) fn optimize(&self, level: u32) {
        // SAFETY: the context is a live one of the library's.
        let answer = unsafe { (self.library.attribute)(self.context, 8, level) };
        assert_eq!(answer, 0);
    }

    /// Adds a rule; says whether the library knows the call at all.
    pub(crate) fn rule(&self, action: u32, name: &str, conditions: &[Condition]) -> bool {
        let c_name = CString::new(name).unwrap();
        // SAFETY: a string with its NUL.
        let number = unsafe { (self.library.resolve)(c_name.as_ptr()) };
        if number == -1 {
            return false;
        }
        self.actions.borrow_mut().push(action);
        let (count, first) = (conditions.len() as c_uint, conditions.as_ptr());
        // SAFETY: the context is a live one, and that many conditions are behind the pointer.
        let answer = unsafe { (self.library.rule)(self.context, action, number, count, first) };
        // A second rule that says the same is no error for those who use the library.
        assert!([0, -libc::EEXIST].contains(&answer), "{name}: {answer}");
        true
    }

    /// The program. The library writes it in the byte order of the machine that it is for.
    ///
    /// Known fault: where that is not this machine's order, libseccomp 2.5.4 swaps the bytes of some
    /// answers twice, those that it puts before a jump which would be too long. They are put right.
    pub(crate) fn export(&self, little: bool) -> Vec<Instruction> {
        let half = if little {
            u16::from_le_bytes
        } else {
            u16::from_be_bytes
        };
        let word = if little {
            u32::from_le_bytes
        } else {
            u32::from_be_bytes
        };
        // SAFETY: a string with its NUL.
        let fd = unsafe { libc::memfd_create(c"libseccomp".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: memfd_create(2) has just made this descriptor for us.
        let mut file = unsafe { File::from_raw_fd(fd) };
        // SAFETY: the context is a live one, and so is the descriptor.
        let answer = unsafe { (self.library.export)(self.context, file.as_raw_fd()) };
        assert_eq!(answer, 0, "seccomp_export_bpf");
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let (all, _) = bytes.as_chunks::<8>();
        let actions = self.actions.borrow();
        let swapped = |code, k: u32| {
            let answer = code == 0x06 && k != 0 && !actions.contains(&k);
            answer && !little && actions.contains(&k.swap_bytes())
        };
        let read = all
            .iter()
            .map(|one| Instruction {
                code: half([one[0], one[1]]),
                jt: one[2],
                jf: one[3],
                k: word([one[4], one[5], one[6], one[7]]),
            })
            .map(|one| match swapped(one.code, one.k) {
                true => Instruction {
                    k: one.k.swap_bytes(),
                    ..one
                },
                false => one,
            });
        read.collect()
    }
}

impl Drop for Builder<'_> {
    fn drop(&mut self) {
        // SAFETY: the context is a live one, and nobody uses it afterwards.
        unsafe { (self.library.release)(self.context) };
    }
}
