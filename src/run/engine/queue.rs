//! A bounded channel between two threads that counts what waits in it.

use std::sync::mpsc::{self, SendError, SyncSender, sync_channel};

use super::super::run_metrics::Count;

/// Batches that may wait between two threads.
pub(super) const QUEUE: usize = 2;

/// Room for `room` messages; how many wait goes to `waiting`.
pub(super) fn queue<T>(room: usize, waiting: &Count) -> (Sender<'_, T>, Receiver<'_, T>) {
    let (sender, receiver) = sync_channel(room);
    (Sender { to: sender, waiting }, Receiver { from: receiver, waiting })
}

pub(super) struct Sender<'a, T> {
    to: SyncSender<T>,
    waiting: &'a Count,
}

impl<T> Sender<'_, T> {
    /// Waits for room.
    ///
    /// # Errors
    /// Nobody receives any more.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.to.send(message)?;
        self.waiting.add(1);
        Ok(())
    }
}

pub(super) struct Receiver<'a, T> {
    from: mpsc::Receiver<T>,
    waiting: &'a Count,
}

/// Ends when nobody sends any more.
impl<T> Iterator for Receiver<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let message = self.from.recv().ok()?;
        self.waiting.take(1);
        Some(message)
    }
}

impl<T> Drop for Receiver<'_, T> {
    fn drop(&mut self) {
        // What a thread that failed leaves unread waits for nobody.
        self.waiting.take(self.from.try_iter().count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted() {
        let waiting = Count::default();
        let (to, mut from) = queue(3, &waiting);
        for number in 0..3 {
            to.send(number).unwrap();
        }
        assert_eq!((waiting.get(), from.next(), waiting.get()), (3, Some(0), 2));
        drop(from);
        assert_eq!((waiting.get(), to.send(4).is_err()), (0, true));
        assert_eq!(waiting.get(), 0);
    }
}
