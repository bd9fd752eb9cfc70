//! The terminal: a picture that is drawn anew on a screen of its own, or plain lines where there is no terminal.

use std::io::{self, IsTerminal, Write};

use super::{
    picture::{self, Paint},
    samples::SAMPLES,
    tally::Tally,
};

/// Where the demo shows what it sees.
#[derive(Debug)]
pub struct Screen {
    /// Whether a person looks at it now.
    terminal: bool,
    drawing: bool,
    paint: Paint,
    /// Samples that plain lines have told of already.
    told: [bool; SAMPLES.len()],
}

/// The alternate screen, no cursor, long lines cut rather than broken.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

impl Screen {
    /// Standard output, whatever it is.
    #[must_use]
    pub fn new() -> Self {
        let terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let paint = Paint(terminal && std::env::var_os("NO_COLOR").is_none());
        Self { terminal, drawing: false, paint, told: [false; SAMPLES.len()] }
    }

    /// How to colour.
    #[must_use]
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Says something that stays.
    pub fn say(&self, lines: &[String]) {
        write(&(lines.join("\n") + "\n"));
    }

    /// Shows how things stand. Without a terminal it tells of each sample once, as soon as it has come out.
    pub fn show(&mut self, tally: &Tally, status: &[String]) {
        if self.terminal {
            self.draw(tally, status);
        } else {
            for (told, (sample, row)) in self.told.iter_mut().zip(SAMPLES.iter().zip(&tally.rows)) {
                // The second round is on its way, so what was to be shared of the first has been.
                if !*told && row.arrived > 1 {
                    *told = true;
                    write(&(picture::sample_line(sample, row, self.paint) + "\n"));
                }
            }
        }
    }

    fn draw(&mut self, tally: &Tally, status: &[String]) {
        let mut lines = status.to_vec();
        lines.push(String::new());
        lines.extend(picture::samples(tally, self.paint));
        lines.push(String::new());
        lines.extend(picture::places(tally, self.paint));
        lines.push(picture::latency(tally, self.paint));
        let open = if self.drawing { "" } else { OPEN };
        self.drawing = true;
        // Home, each line cleared to its end, then the rest of the screen: no flicker.
        write(&format!("{open}\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")));
    }

    /// Back to where the user was.
    pub fn close(&mut self) {
        if self.drawing {
            self.drawing = false;
            write(CLOSE);
        }
    }

    /// Whether [`show`](Self::show) has told of the samples in lines that stay.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.terminal
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

/// A closed pipe (`aurora demo | head`) is no reason to fail.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}
