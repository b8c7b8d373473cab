//! How much memory a thread holds.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with a count for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn more(bytes: usize) {
    // A thread that ends has no count any more.
    let held = HELD.try_with(|held| {
        held.set(held.get().wrapping_add(bytes));
        held.get()
    });
    if let Ok(held) = held {
        MOST.try_with(|most| most.set(most.get().max(held))).unwrap_or_default();
    }
}

fn less(bytes: usize) {
    // What another thread allocated may be freed here.
    HELD.try_with(|held| held.set(held.get().saturating_sub(bytes))).unwrap_or_default();
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Begins to look for the most; what is held now.
pub(super) fn begin() -> usize {
    let held = HELD.get();
    MOST.set(held);
    held
}

/// The most that was held since then, besides what was held.
pub(super) fn most_since(held: usize) -> usize {
    MOST.get().saturating_sub(held)
}

#[test]
fn memory_is_counted() {
    let before = begin();
    drop(Vec::<u8>::with_capacity(100_000));
    assert!((100_000..110_000).contains(&most_since(before)));
}
