//! Taking a record out, and giving frames back that hold too little.

use coppice_frame::{Crossing, FlatMut, FlatRef, Kind, Seek, TrieMut};

use super::{Forest, Level, MAX_FRAMES_ON_PATH, ROOT};
use crate::{error::Error, table::BlobKind};

/// An underfull frame looks for a neighbour to join each time its records have become a multiple of this.
const JOIN_EVERY_RECORDS: usize = 16;

impl Forest<'_> {
    /// Removes a record that is there, as the caller has found, and the blob that its value has to itself.
    pub(crate) fn remove(&mut self, key: &[u8], extent: Option<u32>) -> Result<(), Error> {
        self.table.repin();
        let mut path = vec![Level { blob: ROOT, base: 0 }];
        let mut kind = Kind::Trie;
        while let Some(&Level { blob, base }) = path.last() {
            let rest = key.get(base..).unwrap_or(&[]);
            if kind == Kind::Flat {
                FlatMut::new(self.table.frame_mut(blob, BlobKind::Flat)?).remove(rest);
                break;
            }
            let Seek::Below { crossing, depth } = self.table.trie(blob)?.seek(rest) else {
                TrieMut::new(self.table.frame_mut(blob, BlobKind::Trie)?).remove(rest);
                break;
            };
            path.push(Level {
                blob: crossing.child,
                base: base + depth,
            });
            kind = crossing.kind;
            if path.len() > MAX_FRAMES_ON_PATH {
                return Err(self.lost("a path has no end"));
            }
        }
        self.mark_counts_stale(&path);
        if let Some(blob) = extent {
            self.table.remove(blob);
        }
        self.as_one_move(|forest| forest.give_back(key, &path, kind))
    }

    /// Drops the frames on the path that hold nothing any more, from the bottom up; joins one that holds little.
    pub(super) fn give_back(&mut self, key: &[u8], path: &[Level], mut kind: Kind) -> Result<(), Error> {
        for pair in path.windows(2).rev() {
            let [parent, level] = pair else { continue };
            let empty = match kind {
                Kind::Flat => self.table.flat(level.blob)?.records() == 0,
                Kind::Trie => self.table.trie(level.blob)?.is_empty(),
            };
            if !empty {
                if kind == Kind::Flat {
                    self.join(key, *parent, *level)?;
                }
                return Ok(());
            }
            let parent_key = key.get(parent.base..).unwrap_or(&[]);
            let mut trie = TrieMut::new(self.table.frame_mut(parent.blob, BlobKind::Trie)?);
            trie.detach(parent_key, level.base - parent.base, level.blob);
            self.table.remove(level.blob);
            kind = Kind::Trie;
        }
        Ok(())
    }

    /// Joins an underfull flat frame with another one that the same node leads to, if both fit in five eighths of one.
    fn join(&mut self, key: &[u8], parent: Level, level: Level) -> Result<(), Error> {
        let frame_bytes = self.frame_bytes();
        let live = self.table.live_bytes(level.blob);
        let records = self.table.flat(level.blob)?.records();
        if live > frame_bytes / 4 || !records.is_multiple_of(JOIN_EVERY_RECORDS) {
            return Ok(());
        }
        let depth = level.base - parent.base;
        let path = key.get(parent.base..level.base).unwrap_or(&[]);
        let trie = self.table.trie(parent.blob)?;
        let other = trie
            .crossings_at(path)
            .into_iter()
            .filter(|(_, crossing)| {
                crossing.kind == Kind::Flat && crossing.child != level.blob && self.table.is_resident(crossing.child)
            })
            .map(|(_, crossing)| crossing.child)
            .find(|child| self.table.live_bytes(*child) + live <= frame_bytes / 8 * 5);
        let Some(other) = other else { return Ok(()) };
        let bytes = trie.bytes_to(path, other);
        let theirs = self.table.buffer(other, BlobKind::Flat)?;
        let Some(joined) = self.joined(level.blob, &FlatRef::new(theirs.frame()).items())? else {
            return Ok(());
        };
        let mut upper = TrieMut::new(self.table.frame_mut(parent.blob, BlobKind::Trie)?);
        if upper
            .assign(
                path,
                depth,
                &bytes,
                Crossing {
                    child: level.blob,
                    kind: Kind::Flat,
                },
            )
            .is_ok()
        {
            self.table.replace(level.blob, joined);
            self.table.remove(other);
        }
        Ok(())
    }
}
