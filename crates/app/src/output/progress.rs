//! A progress bar on standard error, for people who wait: nothing where no terminal is.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` conversations. It is hidden where standard error is no terminal.
pub(crate) fn bar(total: u64) -> ProgressBar {
    styled(total, "{bar:30} {pos}/{len} conversations, {per_sec}, {eta} left")
}

/// A bar over a file of `total` bytes, and what it says beside it.
pub(crate) fn bytes(total: u64) -> ProgressBar {
    styled(total, "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left, {msg}")
}

/// What stands there where nobody knows how much there is.
pub(crate) fn counter() -> ProgressBar {
    styled(0, "{msg}, {elapsed}")
}

fn styled(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // A template that is not understood leaves the default one: never worth an error.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
