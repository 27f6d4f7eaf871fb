//! Text to the tree of a condition, by recursive descent.

use super::token::{Token, TokenKind, tokens};
use super::{Function, INDICES, Node, Operator, ParseError};

/// Most characters of a condition.
const LONGEST: usize = 1000;
/// Most levels of brackets, signs and functions within each other.
const DEEPEST: usize = 60;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Condition,
}

/// A part, what it is, and its first and last token.
struct Part {
    node: Node,
    kind: Kind,
    span: (usize, usize),
}

pub(super) fn parse(text: &str) -> Result<(Node, Vec<String>), ParseError> {
    let count = text.chars().count();
    if count > LONGEST {
        return Err(ParseError {
            offset: LONGEST,
            len: 1,
            message: format!("the condition has {count} characters; at most {LONGEST} are allowed"),
            hint: "Make two classes of it.".to_owned(),
        });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, bands: Vec::new(), end: count };
    let part = parser.or()?;
    if parser.at < parser.tokens.len() {
        return Err(parser.error_here("ends before this", "Join conditions with `and` or `or`, numbers with + - * /."));
    }
    let part = parser.needs(part, Kind::Condition)?;
    Ok((part.node, parser.bands))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    bands: Vec<String>,
    /// Characters of the text.
    end: usize,
}

type Parsed = Result<Part, ParseError>;

impl Parser {
    fn or(&mut self) -> Parsed {
        self.joined(&["or", "||"], Operator::Or, Self::and)
    }

    fn and(&mut self) -> Parsed {
        self.joined(&["and", "&&"], Operator::And, Self::not)
    }

    fn joined(&mut self, words: &[&str], operator: Operator, next: fn(&mut Self) -> Parsed) -> Parsed {
        let mut left = next(self)?;
        while self.take(words).is_some() {
            let right = next(self)?;
            let span = (left.span.0, right.span.1);
            let (a, b) = (self.needs(left, Kind::Condition)?, self.needs(right, Kind::Condition)?);
            left = Part { node: Node::Two(operator, Box::new(a.node), Box::new(b.node)), kind: Kind::Condition, span };
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed {
        let start = self.at;
        if self.take(&["not"]).is_none() {
            return self.comparison();
        }
        let part = self.deeper(Self::not)?;
        let part = self.needs(part, Kind::Condition)?;
        Ok(Part { node: Node::Not(Box::new(part.node)), kind: Kind::Condition, span: (start, part.span.1) })
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let Some(sign) = self.take(&["<=", ">=", "==", "!=", "<", ">"]) else { return Ok(left) };
        let operator = match sign {
            "<" => Operator::Less,
            "<=" => Operator::AtMost,
            ">" => Operator::More,
            ">=" => Operator::AtLeast,
            "==" => Operator::Equal,
            _ => Operator::Unequal,
        };
        let right = self.sum()?;
        if self.peek_is(&["<=", ">=", "==", "!=", "<", ">"]) {
            return Err(self.error_here("compares a comparison", "Write `0.1 < ndvi and ndvi < 0.3`."));
        }
        self.two(operator, left, right, Kind::Condition)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        while let Some(sign) = self.take(&["+", "-"]) {
            let right = self.product()?;
            let operator = if sign == "+" { Operator::Plus } else { Operator::Minus };
            left = self.two(operator, left, right, Kind::Number)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.sign()?;
        while let Some(sign) = self.take(&["*", "/"]) {
            let right = self.sign()?;
            let operator = if sign == "*" { Operator::Times } else { Operator::Over };
            left = self.two(operator, left, right, Kind::Number)?;
        }
        Ok(left)
    }

    fn two(&self, operator: Operator, left: Part, right: Part, kind: Kind) -> Parsed {
        let span = (left.span.0, right.span.1);
        let (a, b) = (self.needs(left, Kind::Number)?, self.needs(right, Kind::Number)?);
        Ok(Part { node: Node::Two(operator, Box::new(a.node), Box::new(b.node)), kind, span })
    }

    fn sign(&mut self) -> Parsed {
        let start = self.at;
        let Some(sign) = self.take(&["-", "+"]) else { return self.value() };
        let part = self.deeper(Self::sign)?;
        let part = self.needs(part, Kind::Number)?;
        let node = if sign == "-" { Node::Negative(Box::new(part.node)) } else { part.node };
        Ok(Part { node, kind: Kind::Number, span: (start, part.span.1) })
    }

    fn value(&mut self) -> Parsed {
        let start = self.at;
        let Some(token) = self.tokens.get(start).cloned() else {
            return Err(self.error_here("ends too early", "A band, an index or a number is missing."));
        };
        let part = |node, parser: &Self| Part { node, kind: Kind::Number, span: (start, parser.at.saturating_sub(1)) };
        match token.kind {
            TokenKind::Number(value) => {
                self.at += 1;
                Ok(part(Node::Number(value), self))
            }
            TokenKind::Sign("(") => {
                self.at += 1;
                let inner = self.deeper(Self::or)?;
                self.close()?;
                Ok(Part { span: (start, self.at - 1), ..inner })
            }
            TokenKind::Name(name) if !["and", "or", "not"].contains(&name.as_str()) => {
                self.at += 1;
                if self.peek_is(&["("]) {
                    return self.call(&name, start);
                }
                let index = INDICES.iter().find(|(index, ..)| *index == name);
                let node = match index {
                    Some((_, first, second)) => {
                        let [a, b] = [self.band(first), self.band(second)];
                        let two = |operator| Node::Two(operator, Box::new(a.clone()), Box::new(b.clone()));
                        Node::Two(Operator::Over, Box::new(two(Operator::Minus)), Box::new(two(Operator::Plus)))
                    }
                    None => self.band(&name),
                };
                Ok(part(node, self))
            }
            _ => Err(self.error_here("is not understood here", "A band, an index or a number is expected.")),
        }
    }

    fn call(&mut self, name: &str, start: usize) -> Parsed {
        let (function, most) = match name {
            "abs" => (Function::Abs, 1),
            "sqrt" => (Function::Sqrt, 1),
            "min" => (Function::Min, usize::MAX),
            "max" => (Function::Max, usize::MAX),
            _ => {
                self.at = start;
                return Err(self.error_here("is not a function", "The functions are abs, sqrt, min and max."));
            }
        };
        self.at += 1;
        let mut arguments = Vec::new();
        loop {
            let part = self.deeper(Self::or)?;
            arguments.push(self.needs(part, Kind::Number)?.node);
            if self.take(&[","]).is_none() {
                break;
            }
        }
        self.close()?;
        if arguments.len() > most {
            self.at = start;
            return Err(self.error_here("takes one value", "Only min and max take several."));
        }
        Ok(Part { node: Node::Call(function, arguments), kind: Kind::Number, span: (start, self.at - 1) })
    }

    fn close(&mut self) -> Result<(), ParseError> {
        match self.take(&[")"]) {
            Some(_) => Ok(()),
            None => Err(self.error_here("lacks a closing bracket", "Each ( needs its ).")),
        }
    }

    fn band(&mut self, name: &str) -> Node {
        let index = self.bands.iter().position(|known| known == name).unwrap_or_else(|| {
            self.bands.push(name.to_owned());
            self.bands.len() - 1
        });
        Node::Band(index)
    }

    fn deeper(&mut self, next: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEEPEST {
            return Err(
                self.error_here("is too deep", &format!("At most {DEEPEST} brackets may stand within each other."))
            );
        }
        self.depth += 1;
        let part = next(self);
        self.depth -= 1;
        part
    }

    /// Takes the next token if it is one of these words or signs.
    fn take<'a>(&mut self, words: &[&'a str]) -> Option<&'a str> {
        let found = words.iter().find(|word| self.is(word)).copied()?;
        self.at += 1;
        Some(found)
    }

    fn peek_is(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    fn is(&self, word: &str) -> bool {
        match self.tokens.get(self.at).map(|token| &token.kind) {
            Some(TokenKind::Name(name)) => name == word,
            Some(TokenKind::Sign(sign)) => *sign == word,
            _ => false,
        }
    }

    /// The part, if it is of this kind.
    fn needs(&self, part: Part, kind: Kind) -> Parsed {
        if part.kind == kind {
            return Ok(part);
        }
        let place = |index: usize| self.tokens.get(index).map_or((self.end, 1), |token| (token.offset, token.len));
        let ((offset, _), (last, len)) = (place(part.span.0), place(part.span.1));
        let (message, hint) = match kind {
            Kind::Condition => ("a number stands where a condition is needed", "Compare it, as in `ndwi > 0.2`."),
            Kind::Number => ("a condition stands where a number is needed", "Join conditions with `and` or `or`."),
        };
        Err(ParseError { offset, len: last + len - offset, message: message.to_owned(), hint: hint.to_owned() })
    }

    /// An error at the next token; `what` continues "the condition".
    fn error_here(&self, what: &str, hint: &str) -> ParseError {
        let place = self.tokens.get(self.at).map(|token| (token.offset, token.len));
        let (offset, len) = place.unwrap_or((self.end.saturating_sub(1), 1));
        ParseError { offset, len, message: format!("the condition {what}"), hint: hint.to_owned() }
    }
}
