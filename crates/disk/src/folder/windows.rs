//! Windows: files are reached by the folder's path, made absolute when it was opened.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    os::windows::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// `FILE_FLAG_OPEN_REPARSE_POINT`: opens a symbolic link itself instead of what it leads to.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// `FILE_SHARE_READ | FILE_SHARE_WRITE`: while the handle lives, the file can be neither removed nor renamed.
const SHARE_WITHOUT_DELETE: u32 = 0x0000_0003;

/// The folder's canonical path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FolderIdentity(PathBuf);

/// The folder's canonical path.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// Windows has no folder to sync: the file system's own journal keeps the order of names.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        if !fs::metadata(&path)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self(path))
    }

    pub(super) fn identity(&self) -> io::Result<FolderIdentity> {
        Ok(FolderIdentity(self.0.clone()))
    }

    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.options().create_new(true).open(self.0.join(name))
    }

    pub(super) fn open_file(&self, name: &str) -> io::Result<File> {
        self.open_regular(name, &self.options())
    }

    pub(super) fn open_file_to_read(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OPEN_REPARSE_POINT);
        self.open_regular(name, &options)
    }

    /// Opened so that nobody can remove or rename the file while the handle lives.
    pub(super) fn open_lock_file(&self, name: &str) -> io::Result<File> {
        let mut options = self.options();
        options.create(true).share_mode(SHARE_WITHOUT_DELETE);
        self.open_regular(name, &options)
    }

    /// Always: the handle from `open_lock_file` keeps the name where it is.
    pub(super) fn is_still_named(&self, _file: &File, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Nothing to do: see `create_folder`.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        fs4::available_space(&self.0)
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OPEN_REPARSE_POINT);
        options
    }

    /// The kind is looked at before the open as well, because a folder refuses it with a bare "access denied".
    fn open_regular(&self, name: &str, options: &OpenOptions) -> io::Result<File> {
        let path = self.0.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_file() => return Err(not_regular(name, &metadata)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            Ok(file)
        } else {
            Err(not_regular(name, &metadata))
        }
    }
}

fn not_regular(name: &str, metadata: &fs::Metadata) -> io::Error {
    let kind = if metadata.is_dir() {
        "a folder"
    } else if metadata.is_symlink() {
        "a symbolic link"
    } else {
        "of an unknown kind"
    };
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{name} is {kind}, not a regular file"),
    )
}

pub(super) fn read_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    file.seek_read(into, offset)
}

pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

/// One part a call: a gathering write on Windows takes whole pages only.
pub(super) fn write_vectored_at(file: &File, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    parts.first().map_or(Ok(0), |part| file.seek_write(part, offset))
}
