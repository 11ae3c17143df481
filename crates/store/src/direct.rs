//! Whether a file is accessed past the page cache: from some moment on it is, for all that follows.
//!
//! Before that it may be read, but is not written: what one of the two ways wrote, the other might not see.

use coppice_disk::DiskFile;

/// Whether the kernel says that direct I/O will take transfers of whole pages, so that it need not be tried at once. Whatever
/// is read until it is switched on is read alone, without what lies behind it.
#[cfg(target_os = "linux")]
pub(crate) fn is_known_to_work(file: &dyn DiskFile) -> bool {
    use rustix::fs::{Advice, fadvise};

    let Some(file) = file.os_file() else { return false };
    takes_pages(file) == Some(true) && fadvise(file, 0, None, Advice::Random).is_ok()
}

/// Other systems have other means, which are not used.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_known_to_work(_file: &dyn DiskFile) -> bool {
    false
}

/// Switches direct I/O on where it takes transfers of whole pages. False where it does not, which is as before.
#[cfg(target_os = "linux")]
pub(crate) fn enable(file: &dyn DiskFile) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let Some(file) = file.os_file() else { return false };
    let Ok(flags) = fcntl_getfl(file) else { return false };
    let known = takes_pages(file);
    if known == Some(false) || fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return false;
    }
    if known == Some(true) {
        return true;
    }
    // Some file systems take the flag and refuse the access.
    let mut page = crate::aligned::AlignedBuffer::zeroed(crate::extent::PAGE_BYTES as usize);
    if std::os::unix::fs::FileExt::read_at(file, page.bytes_mut(), 0).is_ok() {
        return true;
    }
    let _ = fcntl_setfl(file, flags);
    false
}

/// What the kernel says of the alignment it wants, since 6.1: zeros where there is no direct I/O. Older ones say nothing,
/// and neither do some file systems; a page has been enough for all of them.
#[cfg(target_os = "linux")]
fn takes_pages(file: &std::fs::File) -> Option<bool> {
    use rustix::fs::{AtFlags, StatxFlags, statx};

    let page = crate::extent::PAGE_BYTES;
    match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        Ok(stat) if StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN) => {
            let is_enough = |align| (1..=page).contains(&align);
            Some(is_enough(stat.stx_dio_mem_align) && is_enough(stat.stx_dio_offset_align))
        }
        _ => None,
    }
}

/// Other systems have other means, which are not used.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enable(_file: &dyn DiskFile) -> bool {
    false
}
