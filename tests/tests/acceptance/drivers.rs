//! What each driver promises, beyond what all networks do.

#[path = "drivers/bridge.rs"]
mod bridge;
#[path = "drivers/overlay.rs"]
mod overlay;
#[path = "drivers/stacks.rs"]
mod stacks;
