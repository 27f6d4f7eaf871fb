//! The values of a condition for many pixels at a time.

use super::{Function, Node, Operator};

/// The value of a part for each pixel: of conditions 1, 0, or NaN where it cannot be decided.
pub(super) fn evaluate(node: &Node, bands: &[&[f32]], pixels: usize) -> Vec<f64> {
    match node {
        Node::Number(value) => vec![*value; pixels],
        Node::Band(index) => {
            let mut values: Vec<f64> =
                bands.get(*index).iter().flat_map(|band| band.iter().map(|value| f64::from(*value))).collect();
            values.resize(pixels, f64::NAN);
            values
        }
        Node::Negative(inner) => {
            let mut values = evaluate(inner, bands, pixels);
            values.iter_mut().for_each(|value| *value = -*value);
            values
        }
        Node::Not(inner) => {
            let mut values = evaluate(inner, bands, pixels);
            values.iter_mut().for_each(|value| *value = 1.0 - *value);
            values
        }
        Node::Two(operator, left, right) => {
            let mut values = evaluate(left, bands, pixels);
            let others = evaluate(right, bands, pixels);
            values.iter_mut().zip(others).for_each(|(value, other)| *value = two(*operator, *value, other));
            values
        }
        Node::Call(function, arguments) => {
            let mut all = arguments.iter().map(|argument| evaluate(argument, bands, pixels));
            let mut values = all.next().unwrap_or_else(|| vec![f64::NAN; pixels]);
            match function {
                Function::Abs => values.iter_mut().for_each(|value| *value = value.abs()),
                Function::Sqrt => values.iter_mut().for_each(|value| *value = value.sqrt()),
                Function::Min | Function::Max => {
                    let least = *function == Function::Min;
                    for others in all {
                        for (value, other) in values.iter_mut().zip(others) {
                            *value = match (value.is_nan() || other.is_nan(), (other < *value) == least) {
                                (true, _) => f64::NAN,
                                (false, true) => other,
                                (false, false) => *value,
                            };
                        }
                    }
                }
            }
            values
        }
    }
}

fn two(operator: Operator, a: f64, b: f64) -> f64 {
    let decided = |holds: bool| if a.is_nan() || b.is_nan() { f64::NAN } else { f64::from(u8::from(holds)) };
    match operator {
        Operator::Plus => a + b,
        Operator::Minus => a - b,
        Operator::Times => a * b,
        // Of a division by zero nothing can be said, not even that it is large.
        Operator::Over if b == 0.0 => f64::NAN,
        Operator::Over => a / b,
        Operator::Less => decided(a < b),
        Operator::AtMost => decided(a <= b),
        Operator::More => decided(a > b),
        Operator::AtLeast => decided(a >= b),
        Operator::Equal => decided(a == b),
        Operator::Unequal => decided(a != b),
        // What is false whatever the other side is, is false.
        Operator::And if a == 0.0 || b == 0.0 => 0.0,
        Operator::Or if a == 1.0 || b == 1.0 => 1.0,
        // True and unknown, or false and unknown, are unknown.
        Operator::And => a * b,
        Operator::Or => a + b,
    }
}
