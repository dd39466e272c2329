//! The machine under test: QEMU in software, with everything by which a hypervisor moves a guest through time.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use clockgate::decision::Realtime;
use clockgate::sys::clock::realtime;
use serde_json::json;

use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, fail, folder, laboratory, stage, until};
use crate::qmp::Qmp;

/// A machine in software, beside others, boots in its own time.
const BOOT: Duration = Duration::from_secs(240);
const WAKES_WITHIN: Duration = Duration::from_secs(60);
/// All of its memory goes through a file.
const MOVES_WITHIN: Duration = Duration::from_secs(120);
/// What every image of the machine is taken back to.
const BOOTED: &str = "booted";
/// The generation of the machine that boots: any number that no other has.
const FIRST_GENERATION: &str = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87";

/// What a machine begins with: an image of its root, below the laboratory's folder, and the security modules of its kernel.
#[derive(Clone, Copy, Debug)]
struct Root {
    image: &'static str,
    security: &'static str,
}

/// None, which is as most hosts are, and quicker.
const PLAIN: Root = Root { image: "machine/root.img", security: "selinux=0 apparmor=0 audit=0" };
/// Labelled when it was made; its `/etc/selinux/config` says `enforcing`, as after Debian's `selinux-activate`.
const CONFINED: Root = Root { image: "selinux/root.img", security: "security=selinux" };

/// A running machine; it ends when this is dropped.
#[derive(Debug)]
pub struct Machine {
    pub guest: Guest,
    qmp: Qmp,
    /// Which machine it is (`vmgenid`): a copy of it is another, and so is one that was restored.
    generation: String,
}

impl Machine {
    /// Boots a machine into `world` and takes an image of it when it has booted.
    pub fn boot(world: &World) -> Outcome<Self> {
        let machine = Self::boot_from(world, PLAIN)?;
        machine.save(BOOTED)?;
        Ok(machine)
    }

    /// Boots a machine whose kernel enforces SELinux's policy from the first process on.
    pub fn confined(world: &World) -> Outcome<Self> {
        Self::boot_from(world, CONFINED)
    }

    fn boot_from(world: &World, root: Root) -> Outcome<Self> {
        let staged = world.run().join("stage");
        stage::prepare(&staged, stage::Begins::Installed)?;
        initrd(world, &staged)?;
        disk(world, root)?;
        Self::booted(world, start(world, root, FIRST_GENERATION, &[])?)
    }

    /// Boots a machine without a disk or a network, from the initrd that was packed for it into the world. It is no `microvm` of
    /// QEMU's: that boots as well, but in software it has no clock that an image brings back and a busy host leaves alone.
    pub fn bare(world: &World) -> Outcome<Self> {
        let mut disk = unpacked("usr/bin/qemu-img");
        stage::succeed(disk.args(["create", "-q", "-f", "qcow2"]).arg(world.run().join("disk.qcow2")).arg("1M"))?;
        let mut qemu = qemu(FIRST_GENERATION, "");
        // No device of the machine's: images of it are kept there.
        qemu.args(["-m", "192", "-drive", "file=disk.qcow2,if=none,id=images,cache=unsafe"]);
        Self::booted(world, spawn(world, qemu)?)
    }

    fn booted(world: &World, (process, line): (Child, UnixStream)) -> Outcome<Self> {
        let guest = Guest::on(process, line, world.console())?;
        let qmp = Qmp::connect(&socket(world))?;
        Ok(Self { guest: guest.booted_within(BOOT)?, qmp, generation: FIRST_GENERATION.to_owned() })
    }

    /// Another QEMU on the same image: the machine as it was, with a new generation's number. The old one ends first.
    pub fn restored_elsewhere(self, world: &World, image: &str, generation: &str) -> Outcome<(Self, Realtime)> {
        drop(self);
        let machine = Self::elsewhere(world, generation.to_owned(), &["-loadvm", image])?;
        let went_on = machine.go_on()?;
        Ok((machine, went_on))
    }

    /// Another QEMU goes on where the first one stood, as after a live migration: it keeps its generation, and has not run meanwhile.
    pub fn migrated(self, world: &World) -> Outcome<(Self, Realtime)> {
        self.qmp.execute("migrate", json!({"uri": "exec:cat >moved"}))?;
        until("the machine has been moved out", MOVES_WITHIN, || {
            let moved = self.qmp.execute("query-migrate", json!({}))?;
            match moved["status"].as_str() {
                Some("completed") => Ok(Some(())),
                Some("failed" | "cancelled") => fail(format!("it cannot be moved: {moved}")),
                _ => Ok(None),
            }
        })?;
        let generation = self.generation.clone();
        drop(self);
        let machine = Self::elsewhere(world, generation, &["-incoming", "exec:cat moved"])?;
        until("the machine has been moved in", MOVES_WITHIN, || Ok((machine.status()? != "inmigrate").then_some(())))?;
        let went_on = machine.go_on()?;
        std::fs::remove_file(world.run().join("moved"))?;
        Ok((machine, went_on))
    }

    /// A QEMU that stands still until it is to go on.
    fn elsewhere(world: &World, generation: String, how: &[&str]) -> Outcome<Self> {
        let (process, line) = start(world, PLAIN, &generation, &[&["-S"], how].concat())?;
        let guest = Guest::on(process, line, world.console())?;
        let qmp = Qmp::connect(&socket(world))?;
        Ok(Self { guest, qmp, generation })
    }

    /// Stops the machine: not one instruction runs from here on.
    pub fn stop(&self) -> Outcome {
        self.qmp.execute("stop", json!({})).map(drop)
    }

    /// Lets it go on, as if nothing had been; the true time just before.
    pub fn go_on(&self) -> Outcome<Realtime> {
        let now = realtime();
        self.qmp.execute("cont", json!({}))?;
        Ok(now)
    }

    /// Takes an image of the machine; it goes on after it.
    pub fn save(&self, image: &str) -> Outcome {
        self.qmp.monitor(&format!("savevm {image}"))
    }

    /// Takes the machine back to an image, in place; the true time just before it goes on.
    pub fn load(&self, image: &str) -> Outcome<Realtime> {
        self.stop()?;
        self.qmp.monitor(&format!("loadvm {image}"))?;
        self.go_on()
    }

    /// Takes the machine back to where it had just booted.
    pub fn begin_again(&self) -> Outcome {
        self.load(BOOTED)?;
        self.guest.set_right()
    }

    /// Sends the machine to sleep through logind (S3); it sleeps when this returns.
    pub fn suspend(&self) -> Outcome {
        self.guest.sh("echo deep >/sys/power/mem_sleep; systemctl suspend --no-block")?;
        until("the machine sleeps", WAKES_WITHIN, || Ok((self.status()? == "suspended").then_some(())))
    }

    /// Presses the button that wakes it; it is awake when this returns, since the true time it tells.
    pub fn wake(&self) -> Outcome<Realtime> {
        let wakings = || self.guest.console().matches("PM: suspend exit").count();
        let already = wakings();
        let woken = realtime();
        self.qmp.execute("system_wakeup", json!({}))?;
        // What is said on a serial line before its driver is awake is lost.
        until("the machine wakes", WAKES_WITHIN, || Ok((wakings() > already).then_some(())))?;
        Ok(woken)
    }

    /// `running`, `paused`, `suspended`...
    fn status(&self) -> Outcome<String> {
        let status = self.qmp.execute("query-status", json!({}))?;
        status["status"].as_str().map_or_else(|| fail(format!("no status: {status}")), |status| Ok(status.to_owned()))
    }
}

/// What keeps such a machine from running here, if anything does.
pub fn missing() -> Option<String> {
    laboratory::missing(&["machine", "beside", "engines", "prometheus"])
}

fn lab() -> PathBuf {
    folder().join("machine")
}

/// A program that was unpacked with its libraries.
fn unpacked(program: &str) -> Command {
    let root = lab().join("qemu");
    let mut command = Command::new(root.join(program));
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| root.join(path));
    let joined = libraries.map(|path| path.display().to_string()).join(":");
    command.env("LD_LIBRARY_PATH", joined);
    command
}

/// QEMU makes both there; a path that long would not fit into a socket's address, so it is told a short one.
pub fn agents_socket(world: &World) -> PathBuf {
    world.run().join("agent")
}

fn socket(world: &World) -> PathBuf {
    world.run().join("qmp")
}

fn start(world: &World, root: Root, generation: &str, how: &[&str]) -> Outcome<(Child, UnixStream)> {
    let kernel = format!(
        "net.ifnames=0 {} systemd.show_status=0 systemd.unit=multi-user.target address={}/24",
        root.security,
        world.guest_address()
    );
    let mut qemu = qemu(generation, &kernel);
    qemu.args(["-m", "768", "-drive", "file=disk.qcow2,if=none,id=disk,cache=unsafe"])
        .args(["-device", "virtio-blk-pci,drive=disk"])
        .args(["-netdev", &format!("tap,id=net,ifname={},script=no,downscript=no", world.tap())])
        .args(["-device", "virtio-net-pci,netdev=net,romfile="]);
    qemu.args(how);
    spawn(world, qemu)
}

/// What every machine has; it boots from `initrd`, in the folder that it is started in.
fn qemu(generation: &str, kernel: &str) -> Command {
    let mut qemu = unpacked("usr/bin/qemu-system-x86_64");
    for data in ["usr/share/qemu", "usr/share/seabios"] {
        qemu.arg("-L").arg(lab().join("qemu").join(data));
    }
    qemu.args(["-machine", "pc,accel=tcg", "-cpu", "max", "-nodefaults", "-display", "none"])
        .args(["-no-user-config", "-rtc", "base=utc,clock=host", "-device", "vmclock"])
        .args(["-device", &format!("vmgenid,guid={generation}")])
        .arg("-kernel")
        .arg(lab().join("vmlinuz"))
        // With the TSC an image that is loaded in software jumps forward in time instead of standing still.
        .args(["-initrd", "initrd", "-append"])
        .arg(format!("console=ttyS1 loglevel=7 no_console_suspend clocksource=hpet tsc=unstable panic=-1 {kernel}"))
        // The first serial line is our part's, the second the kernel's, the third that of QEMU's agent in the guest.
        .args(["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"])
        .args(["-chardev", "file,id=console,path=console,append=on", "-serial", "chardev:console"])
        .args(["-chardev", "socket,id=agent,path=agent,server=on,wait=off", "-serial", "chardev:agent"])
        // Each speaks with one at a time.
        .args(["-qmp", "unix:qmp,server=on,wait=off", "-qmp", "unix:qmp-of-hooks,server=on,wait=off"]);
    qemu
}

/// Starts it in the world's folder; the process, and our end of its first serial line.
fn spawn(world: &World, mut qemu: Command) -> Outcome<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let console = File::options().create(true).append(true).open(world.console())?;
    let _ = std::fs::remove_file(socket(world));
    qemu.current_dir(world.run())
        .stdin(OwnedFd::from(theirs.try_clone()?))
        .stdout(OwnedFd::from(theirs))
        .stderr(console)
        .process_group(0);
    Ok((qemu.spawn().map_err(|e| format!("cannot start QEMU: {e}"))?, ours))
}

/// The disk that this run may write to, over the one that nobody may.
fn disk(world: &World, root: Root) -> Outcome {
    let mut image = unpacked("usr/bin/qemu-img");
    image.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(std::path::absolute(folder().join(root.image))?);
    stage::succeed(image.arg(world.run().join("disk.qcow2")))
}

/// What the machine boots from: the modules that lead to its disk, and the tree to lay over that.
fn initrd(world: &World, staged: &Path) -> Outcome {
    let root = world.run().join("initrd.d");
    std::fs::create_dir_all(&root)?;
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/init"), root.join("init"))?;
    std::fs::rename(staged.join("tree"), root.join("tree"))?;
    stage::succeed(Command::new("cp").arg("-rT").arg(folder().join("beside/tree")).arg(root.join("tree")))?;
    pack(world, &root, &["tree/usr/bin/clockgate", "tree/usr/lib/lab/part"])
}

/// Packs what lies in `root` into the world's initrd, with busybox and the kernel's modules, and with less of these programs.
pub fn pack(world: &World, root: &Path, programs: &[&str]) -> Outcome {
    let busybox = folder().join("engines/bin/busybox");
    std::fs::create_dir_all(root.join("bin"))?;
    std::fs::copy(&busybox, root.join("bin/busybox"))?;
    stage::succeed(Command::new("cp").arg("-r").arg(lab().join("modules")).arg(root))?;
    for program in programs {
        // Names of lines are most of a program, and a machine in software reads slowly.
        let (whole, stripped) = (root.join(program), root.join("stripped"));
        stage::succeed(Command::new("strip").arg("-o").arg(&stripped).arg(&whole))?;
        std::fs::rename(stripped, whole)?;
    }
    let archive = File::create(world.run().join("initrd"))?;
    let list = "find . | \"$0\" cpio -o -H newc 2>/dev/null";
    let mut pack = Command::new("sh");
    pack.args(["-c", list]).arg(std::path::absolute(busybox)?).current_dir(root).stdout(archive);
    let status = pack.status()?;
    std::fs::remove_dir_all(root)?;
    if status.success() { Ok(()) } else { fail(format!("cannot pack the initrd: {status}")) }
}
