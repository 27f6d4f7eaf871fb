//! SIGINT and SIGTERM: the first one stops the work in order where that is possible, the second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Context as _, Result};

/// Whether the program was asked to stop.
#[derive(Debug)]
pub struct Stop {
    signal: Arc<AtomicUsize>,
    /// The next signal ends the program at once.
    at_once: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on; until [`orderly`](Self::orderly) a signal ends the program at once.
    pub fn listen() -> Result<Self> {
        let stop = Self { signal: Arc::default(), at_once: Arc::new(AtomicBool::new(true)) };
        for signal in [SIGINT, SIGTERM] {
            let heard = flag::register_conditional_default(signal, stop.at_once.clone())
                .and_then(|_| flag::register_usize(signal, stop.signal.clone(), signal as usize))
                .and_then(|_| flag::register(signal, stop.at_once.clone()));
            heard.internal(|| format!("cannot listen to the signal {signal}"))?;
        }
        Ok(stop)
    }

    /// Runs work that checks [`signal`](Self::signal) regularly and stops in order when there is one.
    pub fn orderly<T>(&self, work: impl FnOnce() -> T) -> T {
        self.at_once.store(false, Ordering::SeqCst);
        let done = work();
        self.at_once.store(true, Ordering::SeqCst);
        done
    }

    /// The signal that came, with its name.
    pub fn signal(&self) -> Option<(u8, &'static str)> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal if signal == SIGINT as usize => Some((SIGINT as u8, "SIGINT")),
            _ => Some((SIGTERM as u8, "SIGTERM")),
        }
    }
}
