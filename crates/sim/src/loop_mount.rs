//! An ext4 file system in a file, whose power can be cut: for root on Linux.
//!
//! The cut is the file system's own shutdown call without a flush of its log. From then on nothing reaches the file; what
//! had not reached it is gone with the mount. The next mount replays the file system's journal, as after a power cut.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Duration,
};

use crate::soak::Place;

const UNMOUNT_RETRIES: u32 = 60;
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const IMAGE_BYTES: u64 = 64 << 20;
/// `EXT4_IOC_SHUTDOWN`, and its flag for "do not flush the log".
const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
const WITHOUT_FLUSH: u32 = 2;

/// See the module. Unmounted when dropped.
#[derive(Debug)]
pub struct LoopMount {
    image: PathBuf,
    point: PathBuf,
}

fn command(program: &str, args: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(args).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program} {}: {text}", args.join(" "))))
}

impl LoopMount {
    /// A new file system in a folder, mounted there.
    ///
    /// # Errors
    /// Those of `mkfs.ext4` and `mount`: who is not root is refused.
    pub fn make(folder: &Path) -> io::Result<Self> {
        let (image, point) = (folder.join("image"), folder.join("mount"));
        std::fs::create_dir(&point)?;
        File::create(&image)?.set_len(IMAGE_BYTES)?;
        let made = Self { image, point };
        command("mkfs.ext4", &["-q", "-F", &made.image.display().to_string()])?;
        made.mount()?;
        Ok(made)
    }

    fn mount(&self) -> io::Result<()> {
        let (image, point) = (self.image.display().to_string(), self.point.display().to_string());
        command("mount", &["-o", "loop", &image, &point])
    }

    /// The io_uring of a process just killed may hold a file of it for a moment more.
    fn unmount(&self) -> io::Result<()> {
        let point = self.point.display().to_string();
        for _ in 0..UNMOUNT_RETRIES {
            if command("umount", &[&point]).is_ok() {
                return Ok(());
            }
            thread::sleep(RETRY_PAUSE);
        }
        command("umount", &[&point])
    }

    #[allow(unsafe_code)]
    fn cut(&self) -> io::Result<()> {
        let point = File::open(&self.point)?;
        // SAFETY: the call reads one `u32`, which the setter holds, and writes to no memory of this process.
        unsafe { rustix::ioctl::ioctl(&point, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSH)) }?;
        Ok(())
    }
}

impl Place for LoopMount {
    fn folder(&self) -> PathBuf {
        self.point.join("db")
    }

    fn end(&mut self, writer: &mut Child) -> io::Result<()> {
        self.cut()?;
        writer.kill()?;
        writer.wait()?;
        self.unmount()?;
        self.mount()
    }

    fn loses_power(&self) -> bool {
        true
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        // A mount that cannot be undone is left for the operator to see.
        let _ = self.unmount();
    }
}
