//! Small disks of their own: what fills up, and what turns read only.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lcs_tests::chaos::replica::Failure;
use tempfile::TempDir;
use tokio::process::Command;

/// Set to 1 where no small disk can be mounted: what needs one is then told, and does not decide. The tests
/// on full disks know it too.
const WITHOUT_MOUNT: &str = "LCS_TESTS_WITHOUT_MOUNT";

/// Why no small disk could be had.
#[derive(Debug)]
pub(super) struct NotMounted {
    why: String,
    /// Whether it was said that it need not be.
    pub(super) is_excused: bool,
}

impl fmt::Display for NotMounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, .. } = self;
        write!(f, "no small disk can be mounted here ({why}): run it as root, or set {WITHOUT_MOUNT}=1")
    }
}

impl Error for NotMounted {}

/// A small disk, gone with this value.
#[derive(Debug)]
pub(super) struct Disk {
    folder: TempDir,
    /// The file that it is in, where it is not in memory.
    image: Option<PathBuf>,
}

impl Disk {
    /// One in memory, of so many MiB.
    pub(super) async fn in_memory(mib: u32) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"], folder.path()).await?;
        Ok(Self { folder, image: None })
    }

    /// One of 16 MiB in a file of `home`, that can be made to fail as a disk does.
    pub(super) async fn in_a_file(home: &Path) -> Result<Self, Failure> {
        let image = home.join("disk.img");
        File::create(&image)?.set_len(16 << 20)?;
        let folder = tempfile::tempdir()?;
        let disk = Self { folder, image: Some(image.clone()) };
        run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&image)).await?;
        disk.mount_image().await?;
        Ok(disk)
    }

    async fn mount_image(&self) -> Result<(), Failure> {
        let image = self.image.as_deref().and_then(Path::to_str).ok_or("this disk is in no file")?;
        mount(&["-t", "ext4", "-o", "loop", image], self.path()).await
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets it be written, or only be read. Nobody may have a file open for writing.
    pub(super) async fn remount(&self, options: &str) -> Result<(), Failure> {
        mount(&["-o", &format!("remount,{options}")], self.path()).await
    }

    /// Has it fail: from here on it can only be read, whoever has files open.
    pub(super) async fn fail(&self) -> Result<(), Failure> {
        self.remount("abort").await
    }

    /// Repairs it. Nobody may have a file open.
    pub(super) async fn repair(&self) -> Result<(), Failure> {
        unmount(self.path(), &[]).await?;
        self.mount_image().await
    }

    /// Fills it with a file that [`Self::make_room`] removes: gives how many bytes there was room for.
    pub(super) fn fill(&self) -> Result<u64, Failure> {
        let mut filler = File::create(self.filler())?;
        // By the page, so that nothing is left.
        let chunk = [0; 4096];
        while filler.write_all(&chunk).is_ok() {}
        Ok(filler.metadata()?.len())
    }

    pub(super) fn make_room(&self) -> Result<(), Failure> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that was killed may not be gone yet.
        let mut unmount = std::process::Command::new("umount");
        let _gone = unmount.arg("--lazy").arg(self.path()).output();
    }
}

async fn mount(arguments: &[&str], folder: &Path) -> Result<(), Failure> {
    run(Command::new("mount").args(arguments).arg(folder)).await
}

async fn unmount(folder: &Path, arguments: &[&str]) -> Result<(), Failure> {
    run(Command::new("umount").args(arguments).arg(folder)).await
}

async fn run(command: &mut Command) -> Result<(), Failure> {
    let is_excused = std::env::var(WITHOUT_MOUNT).is_ok_and(|without| without == "1");
    let not_mounted = |why: String| NotMounted { why, is_excused };
    let output = command.output().await.map_err(|error| not_mounted(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(not_mounted(said.lines().next().unwrap_or("it says nothing").to_owned()).into())
}
