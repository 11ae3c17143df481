//! Integer names for values that JavaScript refers to: an index and a generation in one small integer.
//!
//! A handle outlives its value harmlessly: once the value is removed the handle finds nothing, for ever, because a slot
//! whose generations are used up is not used again. Handles stay below 2^31, where V8 keeps integers unboxed.

const INDEX_BITS: u32 = 12;
const GENERATION_BITS: u32 = 19;
const MAX_SLOTS: usize = 1 << INDEX_BITS;
const LAST_GENERATION: u32 = (1 << GENERATION_BITS) - 1;
const _: () = assert!(INDEX_BITS + GENERATION_BITS == 31);

/// Values by handle; at most 4,096 at once.
#[derive(Debug)]
pub(crate) struct HandleTable<T> {
    slots: Vec<Slot<T>>,
    /// Indices of empty slots with generations left.
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> HandleTable<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
        }
    }

    /// The new value's handle; the value itself back where the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Result<u32, T> {
        if let Some(index) = self.vacant.pop() {
            let Some(slot) = self.slots.get_mut(index as usize) else {
                return Err(value);
            };
            slot.value = Some(value);
            return Ok(handle(index, slot.generation));
        }
        let Some(index) = u32::try_from(self.slots.len())
            .ok()
            .filter(|_| self.slots.len() < MAX_SLOTS)
        else {
            return Err(value);
        };
        self.slots.push(Slot {
            generation: 0,
            value: Some(value),
        });
        Ok(handle(index, 0))
    }

    /// The value that `handle` stands for, while it is there.
    #[inline]
    pub(crate) fn get(&self, handle: u32) -> Option<&T> {
        let slot = self.slots.get(index_of(handle))?;
        if slot.generation == generation_of(handle) {
            slot.value.as_ref()
        } else {
            None
        }
    }

    /// Takes the value out; its handle finds nothing from now on.
    pub(crate) fn remove(&mut self, handle: u32) -> Option<T> {
        let index = index_of(handle);
        let slot = self.slots.get_mut(index)?;
        if slot.generation != generation_of(handle) {
            return None;
        }
        let value = slot.value.take()?;
        if slot.generation < LAST_GENERATION {
            slot.generation += 1;
            self.vacant.push(handle & (MAX_SLOTS as u32 - 1));
        }
        Some(value)
    }

    /// Takes out each value of which this holds.
    pub(crate) fn remove_where(&mut self, holds: impl Fn(&T) -> bool) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index) else { return };
            if slot.value.as_ref().is_some_and(&holds) {
                drop(self.remove(handle(index as u32, slot.generation)));
            }
        }
    }

    /// Takes every value out.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.vacant.clear();
        self.slots.drain(..).filter_map(|slot| slot.value).collect()
    }
}

fn handle(index: u32, generation: u32) -> u32 {
    generation << INDEX_BITS | index
}

fn index_of(handle: u32) -> usize {
    (handle & (MAX_SLOTS as u32 - 1)) as usize
}

fn generation_of(handle: u32) -> u32 {
    handle >> INDEX_BITS
}

#[cfg(test)]
mod tests;
