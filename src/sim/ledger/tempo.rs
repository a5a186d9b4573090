//! The pace of the dials: what a limit of calls per second and of calls at once is judged by.

use serde::Serialize;

use super::{Book, Create};

/// A stretch of time and the dials in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Window {
    /// When its first dial came, microseconds since the ledger was opened.
    pub from_us: u64,
    /// How many came within its width.
    pub dials: usize,
}

/// One second of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Seconds since the ledger was opened.
    pub second: u64,
    /// Dials that came.
    pub dials: usize,
    /// Of them, refused.
    pub refused: usize,
    /// The most legs that lived when one came.
    pub live: usize,
}

/// The pace of the dials.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tempo {
    /// Create requests.
    pub dials: usize,
    /// From the first to the last, microseconds.
    pub span_us: u64,
    /// The fullest window of the width asked for, wherever it begins.
    pub fullest: Window,
    /// The most legs at once.
    pub peak_live: usize,
    /// When that was, microseconds since the ledger was opened.
    pub peak_live_us: u64,
    /// Second by second; those without a dial are left out.
    pub seconds: Vec<Second>,
}

pub(super) fn of(book: &Book, width_ms: u64) -> Tempo {
    let mut tempo = Tempo {
        dials: book.creates.len(),
        peak_live: book.peak_live.0,
        peak_live_us: book.peak_live.1,
        fullest: fullest(&book.creates, width_ms.saturating_mul(1_000)),
        ..Tempo::default()
    };
    if let (Some(first), Some(last)) = (book.creates.first(), book.creates.last()) {
        tempo.span_us = last.t_us - first.t_us;
    }
    for create in &book.creates {
        let second = create.t_us / 1_000_000;
        if tempo.seconds.last().is_none_or(|last| last.second != second) {
            tempo.seconds.push(Second { second, ..Second::default() });
        }
        if let Some(last) = tempo.seconds.last_mut() {
            last.dials += 1;
            last.refused += usize::from(create.status >= 400);
            last.live = last.live.max(create.live);
        }
    }
    tempo
}

/// The fullest window of `width` microseconds among dials in the order of their arrival.
fn fullest(creates: &[Create], width: u64) -> Window {
    let mut best = Window::default();
    let mut from = 0;
    for (to, create) in creates.iter().enumerate() {
        while create.t_us - creates[from].t_us >= width {
            from += 1;
        }
        if to - from + 1 > best.dials {
            best = Window { from_us: creates[from].t_us, dials: to - from + 1 };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(t_us: u64, live: usize, status: u16) -> Create {
        Create {
            at: 0,
            t_us,
            to: String::new(),
            from: String::new(),
            call_id: None,
            live,
            form: Vec::new(),
            headers: std::collections::BTreeMap::new(),
            status,
            code: None,
            sid: None,
            answer_lost: false,
            unknown: Vec::new(),
        }
    }

    #[test]
    fn the_fullest_window_begins_anywhere() {
        let creates =
            [(0, 0, 201), (900_000, 1, 201), (1_000_000, 2, 429), (1_800_000, 2, 201), (1_900_000, 3, 201)]
                .map(|(t, live, status)| dial(t, live, status));
        let book = Book { creates: creates.to_vec(), peak_live: (4, 1_900_100), ..Book::default() };
        let tempo = of(&book, 1_000);
        assert_eq!(tempo.fullest, Window { from_us: 900_000, dials: 3 });
        assert_eq!((tempo.dials, tempo.span_us, tempo.peak_live), (5, 1_900_000, 4));
        assert_eq!(tempo.seconds[1], Second { second: 1, dials: 3, refused: 1, live: 3 });
        assert_eq!(of(&Book::default(), 1_000), Tempo::default());
    }
}
