//! One run of the virtual machine: its files, the server of the shared root, QEMU, the verdict.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::prerequisites;
use crate::programs::{self, Counts, Ended};
use crate::scratch::Scratch;
use crate::test::Privilege;

/// Enough for the tests, and for a tmpfs with what is written outside of the disk.
const MEMORY: &str = "2G";

/// The size of the disk for `/tmp` and its like. It is a sparse file.
const DISK_BYTES: u64 = 8 << 30;

/// What the last line of the results starts with.
const VERDICT: &str = "crabcan-vm: status ";

/// A virtual machine that is about to boot.
#[derive(Debug)]
pub(super) struct Machine {
    // First, so that the server ends while its socket is still there.
    files: Files,
    scratch: Scratch,
    qemu: PathBuf,
    kernel: PathBuf,
}

/// The process that hands the machine's own files to the virtual one.
#[derive(Debug)]
struct Files {
    server: Child,
    socket: PathBuf,
}

/// How long the server may go on without a client.
const GRACE: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn new(kernel: &Path, privilege: Privilege, initramfs: &[u8]) -> Result<Machine> {
        let scratch = Scratch::new("crabcan-vm")?;
        let path = scratch.path().join("initramfs");
        fs::write(&path, initramfs).with_context(|| format!("write {}", path.display()))?;
        let disk = scratch.path().join("disk");
        File::create(&disk)
            .and_then(|file| file.set_len(DISK_BYTES))
            .with_context(|| format!("create {}", disk.display()))?;
        cargo::succeed(
            Command::new(prerequisites::find("mkfs.ext4")?)
                .args(["-q", "-F"])
                .arg(&disk),
        )?;
        let files = Files::serve(privilege, &scratch)?;
        Ok(Machine {
            files,
            scratch,
            qemu: prerequisites::find("qemu-system-x86_64")?,
            kernel: kernel.to_owned(),
        })
    }

    /// Runs the machine to its end, at most `limit_s` seconds, and judges it by its last line.
    pub(super) fn run(self, limit_s: u32) -> Result<Counts> {
        let console = self.scratch.path().join("console");
        let mut command = programs::limited_to(&self.qemu, limit_s.into());
        self.hardware(&mut command);
        let log = format!("file,id=console,path={}", console.display());
        command.args([
            "-chardev",
            &log,
            "-chardev",
            "file,id=results,path=/dev/stdout",
        ]);
        let ended = programs::watch(command)?;
        match fault(&ended) {
            None => Ok(ended.counts()),
            Some(fault) => {
                tell_end_of(&console)?;
                bail!("{fault}\n{}", ended.failures())
            }
        }
    }

    /// Runs the machine with its console on our terminal.
    pub(super) fn shell(self) -> Result<()> {
        let mut command = Command::new(&self.qemu);
        self.hardware(&mut command);
        command.args(["-chardev", "stdio,id=console,signal=off"]);
        command.args(["-chardev", "null,id=results"]);
        cargo::succeed(&mut command)
    }

    fn hardware(&self, command: &mut Command) {
        // Always emulated: KVM inside of a virtual machine hangs on some hosts, and two ways to
        // run the tests would be two sets of results.
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]);
        command.args(["-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot"]);
        command.args(["-display", "none", "-serial", "chardev:console"]);
        // virtiofs reads and writes the guest's memory.
        let memory = format!("memory-backend-memfd,id=memory,size={MEMORY},share=on");
        command.args(["-object", &memory, "-numa", "node,memdev=memory"]);
        let at = |name: &str| self.scratch.path().join(name);
        command.arg("-kernel").arg(&self.kernel);
        command.arg("-initrd").arg(at("initramfs"));
        // Where the machine is busy, an emulated timer fails the kernel's check of it at boot.
        let words = "console=ttyS0 quiet panic=-1 hugepages=16 no_timer_check";
        command.args(["-append", words]);
        let files = format!("socket,id=files,path={}", self.files.socket.display());
        command.args(["-chardev", &files]);
        command.args(["-device", "vhost-user-fs-pci,chardev=files,tag=machine"]);
        let disk = format!(
            "if=virtio,format=raw,cache=unsafe,file={}",
            at("disk").display()
        );
        command.args(["-drive", &disk, "-device", "virtio-serial-pci"]);
        command.args(["-device", "virtserialport,chardev=results,nr=1"]);
    }
}

impl Files {
    /// Starts virtiofsd on a socket that is already there, so that QEMU need not wait for it.
    ///
    /// It sees `/` read-only in a mount namespace of its own: whatever the guest tries, the
    /// machine's files stay as they are.
    fn serve(privilege: Privilege, scratch: &Scratch) -> Result<Files> {
        let socket = scratch.path().join("files");
        let listener = UnixListener::bind(&socket).context("make the socket of the files")?;
        let path = scratch.path().join("files.log");
        let log = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let script = r#"mount -o remount,bind,ro / && exec "$@""#;
        let mut command = privilege.command("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg("files")
            .arg(prerequisites::find("virtiofsd")?)
            .args(["--fd=0", "--rlimit-nofile=0", "-o", "source=/"])
            // The other sandbox pivots into the source, which cannot be done with `/` itself.
            .args(["-o", "sandbox=chroot", "-o", "cache=always"])
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(log);
        let server = command.spawn().context("start virtiofsd")?;
        Ok(Files { server, socket })
    }
}

impl Drop for Files {
    /// It ends with QEMU. But QEMU may not have started; then this connection's end is what the
    /// server ends with. A signal could not reach it where it was started by sudo.
    fn drop(&mut self) {
        // Refused where the server has ended.
        drop(UnixStream::connect(&self.socket));
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.server.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let result = self.server.kill().and_then(|()| self.server.wait());
        eprintln!("xtask: virtiofsd did not end by itself: {result:?}");
    }
}

/// What is wrong with a run, if anything: no last line, or one that tells of a failure.
fn fault(ended: &Ended) -> Option<String> {
    let last = ended.output.lines().last().unwrap_or_default();
    match (last.strip_prefix(VERDICT), ended.fault()) {
        (Some("0"), None) => None,
        (Some("0") | None, Some(fault)) => Some(format!("the virtual machine: {fault}")),
        (Some(status), _) => Some(format!("the job ended with status {status}")),
        (None, None) => Some("the virtual machine ended without a verdict".to_owned()),
    }
}

fn tell_end_of(console: &Path) -> Result<()> {
    let text = fs::read(console).with_context(|| format!("read {}", console.display()))?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    println!("the end of the virtual machine's console:");
    for line in &lines[lines.len().saturating_sub(30)..] {
        println!("  {line}");
    }
    Ok(())
}
