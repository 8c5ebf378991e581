//! Tables: aligned columns, of which the last gives way where the terminal is narrow.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::text::one_line;

/// Between two columns.
const GAP: &str = "  ";
/// A column gives way to this width and no further.
const NARROWEST: usize = 8;

/// A table with a heading. Ids are never cut: only the last column is.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings, and no rows yet.
    pub(crate) fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![headings.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row. Whatever its cells hold, it stays one line.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The lines, the headings first, no wider than `width` where the last column can give way.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let before: usize = widths.iter().rev().skip(1).map(|width| width + GAP.len()).sum();
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(before).max(NARROWEST));
        self.rows.iter().map(|row| line(row, &widths, room)).collect()
    }
}

fn line(row: &[String], widths: &[usize], room: usize) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        if column + 1 == widths.len() {
            line.push_str(&cut(cell, room));
        } else {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
            line.push_str(GAP);
        }
    }
    line.trim_end().to_owned()
}

/// `text`, with an ellipsis for its end where it is wider than `room`.
fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut width = 1;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width <= room
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["ID", "TURNS", "ABOUT"]);
        table.row(["018f".into(), "3".into(), "what to do about a pod that restarts".into()]);
        table.row(["018f3a5c".into(), "12".into(), "日本語のクラスタ".into()]);
        table.row(["01".into(), "0".into(), String::new()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_end_with_text() {
        assert_eq!(
            table().lines(None),
            [
                "ID        TURNS  ABOUT",
                "018f      3      what to do about a pod that restarts",
                "018f3a5c  12     日本語のクラスタ",
                "01        0",
            ]
        );
    }

    #[test]
    fn the_last_column_gives_way_to_a_narrow_terminal() {
        let lines = table().lines(Some(30));
        assert_eq!(lines[1], "018f      3      what to do a…");
        assert_eq!(lines[2], "018f3a5c  12     日本語のクラ…");
        assert!(lines.iter().all(|line| line.width() <= 30), "{lines:#?}");
        assert_eq!(table().lines(Some(1))[1], "018f      3      what to…");
    }

    #[test]
    fn a_row_is_one_line_whatever_it_holds() {
        let mut table = Table::new(["ABOUT"]);
        table.row(["a\nb\u{1b}[2J".into()]);
        assert_eq!(table.lines(None), ["ABOUT", "a b [2J"]);
    }
}
