//! A progress bar on standard error, for people who wait: nothing where no terminal is.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` conversations. It is hidden where standard error is no terminal.
pub(crate) fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // A template that is not understood leaves the default one: never worth an error.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} conversations, {eta} left") {
        bar.set_style(style);
    }
    bar
}
