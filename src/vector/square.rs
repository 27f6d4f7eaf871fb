//! Squared outlines: the rectilinear polygon that explains a noisy pixel outline best.
//!
//! The middles of an outline's pixel edges scatter evenly about the true wall. The outline is cut into runs, each of which
//! belongs to one straight wall: along the building's axis, across it, or, where that explains much more, slanting. The
//! cut with the least sum of squared distances plus a price for every wall is found by dynamic programming, the axis by
//! a closed form for a given cut, the two in turn. Corners are where the fitted walls meet, so they lie between pixels.

/// A position in pixels.
pub type Point = (f64, f64);

/// What walls cost, in square pixels (of summed squared distance).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// A wall along or across the axis.
    pub wall: f64,
    /// A slanting wall.
    pub slanted: f64,
}

/// How the outline is best described.
#[derive(Clone, Debug, PartialEq)]
pub enum Outline {
    Squared { ring: Vec<Point>, cost: f64 },
    Round { centre: Point, radius: f64, cost: f64 },
}

/// First and second moments of a run of points.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Moments {
    fn of((x, y): Point) -> Self {
        Self { n: 1.0, x, y, xx: x * x, xy: x * y, yy: y * y }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            x: self.x + other.x,
            y: self.y + other.y,
            xx: self.xx + other.xx,
            xy: self.xy + other.xy,
            yy: self.yy + other.yy,
        }
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self { n: -other.n, x: -other.x, y: -other.y, xx: -other.xx, xy: -other.xy, yy: -other.yy })
    }

    /// Sums of squares about the mean: xx, xy, yy.
    fn scatter(&self) -> (f64, f64, f64) {
        let n = self.n.max(1.0);
        (
            (self.xx - self.x * self.x / n).max(0.0),
            self.xy - self.x * self.y / n,
            (self.yy - self.y * self.y / n).max(0.0),
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Along,
    Across,
    Slanted,
}

const KINDS: [Kind; 3] = [Kind::Along, Kind::Across, Kind::Slanted];

/// A run of points (of the doubled ring) and its wall.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: usize,
    to: usize,
    wall: Kind,
}

/// At most so many groups of points are told apart: the search takes their square in time.
const GROUPS: usize = 900;

/// The points of a ring, summed up so that any run's moments are one subtraction.
struct Contour {
    /// Moments of everything before group `i`, going round twice.
    sums: Vec<Moments>,
    groups: usize,
    origin: Point,
}

impl Contour {
    fn new(points: &[Point], most: usize) -> Self {
        let origin = points[0];
        let group = points.len().div_ceil(most);
        let mut sums = vec![Moments::default()];
        let groups = points.len().div_ceil(group);
        for index in 0..2 * groups {
            let index = index % groups;
            let mut moments = Moments::default();
            for &(x, y) in &points[index * group..((index + 1) * group).min(points.len())] {
                moments = moments.plus(Moments::of((x - origin.0, y - origin.1)));
            }
            sums.push(sums[sums.len() - 1].plus(moments));
        }
        Self { sums, groups, origin }
    }

    fn run(&self, from: usize, to: usize) -> Moments {
        self.sums[to].minus(self.sums[from])
    }
}

/// The middles of a lattice ring's unit edges, in order.
pub fn edge_middles(ring: &[super::shape::Corner]) -> Vec<Point> {
    let mut points = Vec::new();
    for (index, from) in ring.iter().enumerate() {
        let to = ring[(index + 1) % ring.len()];
        let (fx, fy) = (f64::from(from.col), f64::from(from.row));
        let (tx, ty) = (f64::from(to.col), f64::from(to.row));
        let length = (tx - fx).abs() + (ty - fy).abs();
        let (dx, dy) = ((tx - fx) / length, (ty - fy) / length);
        points.extend((0..length as usize).map(|step| {
            let t = step as f64 + 0.5;
            (fx + t * dx, fy + t * dy)
        }));
    }
    points
}

/// Finds the axis of an outline, in radians between 0 and a quarter turn, from where its chords point.
fn guess_axis(points: &[Point]) -> f64 {
    let count = points.len();
    let reach = (count / 16).clamp(2, 6);
    let (mut sin, mut cos) = (0.0, 0.0);
    for index in 0..count {
        let (a, b) = (points[(index + count - reach) % count], points[(index + reach) % count]);
        let angle = (b.1 - a.1).atan2(b.0 - a.0) * 4.0;
        let weight = (b.0 - a.0).hypot(b.1 - a.1);
        sin += weight * angle.sin();
        cos += weight * angle.cos();
    }
    (sin.atan2(cos) / 4.0).rem_euclid(std::f64::consts::FRAC_PI_2)
}

/// Fits an outline; `axis` fixes the direction (courtyards take their building's). Returns the axis too.
pub fn fit(points: &[Point], prices: Prices, axis: Option<f64>) -> Option<(Outline, f64)> {
    if points.len() < 4 {
        return None;
    }
    let quarter = std::f64::consts::FRAC_PI_2;
    let begin = match axis {
        Some(axis) => axis,
        None => {
            // Which way to begin is settled on a coarse contour.
            let coarse = Contour::new(points, (points.len() / 2).clamp(4, 80));
            let guess = guess_axis(points);
            let starts = [guess, guess + quarter / 6.0, guess - quarter / 6.0, guess + quarter / 2.0];
            let mut best = (guess, f64::INFINITY);
            for mut angle in starts {
                let mut cut = 0;
                for _ in 0..2 {
                    let Some((pieces, cost)) = best_cut(&coarse, angle, prices, cut) else { break };
                    cut = pieces[pieces.len() / 2].from % coarse.groups;
                    angle = axis_of(&coarse, &pieces, angle);
                    if cost < best.1 {
                        best = (angle, cost);
                    }
                }
            }
            best.0
        }
    };
    let contour = Contour::new(points, GROUPS);
    let mut best: Option<(Vec<Piece>, f64, f64)> = None;
    let (mut angle, mut cut) = (begin, 0);
    for _ in 0..4 {
        let Some((pieces, cost)) = best_cut(&contour, angle, prices, cut) else { break };
        cut = pieces[pieces.len() / 2].from % contour.groups;
        let next = if axis.is_some() { angle } else { axis_of(&contour, &pieces, angle) };
        let settled = best.as_ref().is_some_and(|(_, least, _)| cost > least - 1e-6);
        if best.as_ref().is_none_or(|(_, least, _)| cost < *least) {
            best = Some((pieces, cost, next));
        }
        if settled {
            break;
        }
        angle = next;
    }
    let (pieces, cost, angle) = best?;
    if let Some((centre, radius, round_cost)) = circle(points, prices)
        && round_cost < cost
    {
        return Some((Outline::Round { centre, radius, cost: round_cost }, angle.rem_euclid(quarter)));
    }
    let ring = corners(&contour, &pieces, angle)?;
    Some((Outline::Squared { ring, cost }, angle.rem_euclid(quarter)))
}

/// One state of the search: the least cost, and where the last wall began after which kind of wall.
#[derive(Clone, Copy)]
struct Reached {
    cost: f64,
    begin: u32,
    before: u8,
}

const UNREACHED: Reached = Reached { cost: f64::INFINITY, begin: 0, before: 3 };

/// The cheapest way round from group `cut`, with walls of different kinds in turn.
fn best_cut(contour: &Contour, angle: f64, prices: Prices, cut: usize) -> Option<(Vec<Piece>, f64)> {
    let reached = search(contour, angle, prices, cut);
    // Where the way closes, two walls meet as well.
    let (pieces, cost) = trace_back(&reached, cut, |first, last| first != last)?;
    (pieces.len() >= 3).then_some((pieces, cost))
}

/// The cheapest way from the first group to the last.
fn best_walls(contour: &Contour, angle: f64, prices: Prices) -> Option<Vec<Piece>> {
    if contour.groups < 3 {
        // So few points lie on any wall; the edges that they are the middles of do not.
        let (xx, xy, yy) = contour.run(0, contour.groups).scatter();
        let (sin, cos) = angle.sin_cos();
        let along = sin * sin * xx - 2.0 * sin * cos * xy + cos * cos * yy;
        let across = cos * cos * xx + 2.0 * sin * cos * xy + sin * sin * yy;
        let wall = if along <= across { Kind::Along } else { Kind::Across };
        return Some(vec![Piece { from: 0, to: contour.groups, wall }]);
    }
    let reached = search(contour, angle, prices, 0);
    trace_back(&reached, 0, |_, _| true).map(|(pieces, _)| pieces)
}

/// reached[i][first][last]: the first i groups from the cut, by the kinds of the first and of the last wall.
type States = Vec<[[Reached; 3]; 3]>;

fn search(contour: &Contour, angle: f64, prices: Prices, cut: usize) -> States {
    let groups = contour.groups;
    let (sin, cos) = angle.sin_cos();
    let (sin2, cos2) = (2.0 * angle).sin_cos();
    let mut reached = vec![[[UNREACHED; 3]; 3]; groups + 1];
    for end in 1..=groups {
        let mut states = [[UNREACHED; 3]; 3];
        let mut dearest = f64::INFINITY;
        for begin in (0..end).rev() {
            let run = contour.run(cut + begin, cut + end);
            let (xx, xy, yy) = run.scatter();
            // The larger eigenvalue is along a slanted wall, the smaller is what no wall explains.
            let middle = (xx + yy) / 2.0;
            let spread = ((xx - yy) / 2.0).hypot(xy);
            if middle - spread > dearest {
                // It only grows with longer runs.
                break;
            }
            let along = sin * sin * xx - 2.0 * sin * cos * xy + cos * cos * yy;
            let across = cos * cos * xx + 2.0 * sin * cos * xy + sin * sin * yy;
            // Nearly along or across is no slant: walls would meet at grazing angles.
            let slants = (xy * cos2 - (xx - yy) / 2.0 * sin2).abs() > 0.6 * spread && end - begin >= 3;
            let slanted = if slants { middle - spread + prices.slanted } else { f64::INFINITY };
            for (wall, price) in [along + prices.wall, across + prices.wall, slanted].into_iter().enumerate() {
                if begin == 0 {
                    if price < states[wall][wall].cost {
                        states[wall][wall] = Reached { cost: price, begin: 0, before: 3 };
                    }
                    continue;
                }
                for (first, states) in states.iter_mut().enumerate() {
                    for before in (0..3).filter(|&before| before != wall) {
                        let total = reached[begin][first][before].cost + price;
                        if total < states[wall].cost {
                            states[wall] = Reached { cost: total, begin: begin as u32, before: before as u8 };
                        }
                    }
                }
            }
            let worst = states.iter().flatten().map(|state| state.cost).fold(0.0, f64::max);
            let least = states.iter().flatten().map(|state| state.cost).fold(f64::INFINITY, f64::min);
            // States that are so much dearer than another at the same place never win: four walls undo any detour.
            dearest = worst.min(least + 4.0 * prices.slanted.max(prices.wall));
        }
        reached[end] = states;
    }
    reached
}

/// The pieces of the cheapest way whose first and last walls may be such, and its cost.
fn trace_back(reached: &States, cut: usize, may: impl Fn(usize, usize) -> bool) -> Option<(Vec<Piece>, f64)> {
    let groups = reached.len() - 1;
    let (mut first, mut last, mut least) = (0, 0, f64::INFINITY);
    for (one, states) in reached[groups].iter().enumerate() {
        for (other, state) in states.iter().enumerate().filter(|&(other, _)| may(one, other)) {
            if state.cost < least {
                (first, last, least) = (one, other, state.cost);
            }
        }
    }
    if least.is_infinite() {
        return None;
    }
    let mut pieces = Vec::new();
    let (mut end, mut wall) = (groups, last);
    loop {
        let state = reached[end][first][wall];
        let begin = state.begin as usize;
        pieces.push(Piece { from: cut + begin, to: cut + end, wall: KINDS[wall] });
        if begin == 0 {
            break;
        }
        (end, wall) = (begin, usize::from(state.before));
    }
    pieces.reverse();
    Some((pieces, least))
}

/// The axis that fits a given cut best: the smaller eigenvector of the walls' joint scatter.
fn axis_of(contour: &Contour, pieces: &[Piece], angle: f64) -> f64 {
    let (mut a, mut b, mut c) = (0.0, 0.0, 0.0);
    for piece in pieces {
        let (xx, xy, yy) = contour.run(piece.from, piece.to).scatter();
        match piece.wall {
            Kind::Along => {
                a += xx;
                b += xy;
                c += yy;
            }
            // Turned by a quarter, a wall across is a wall along.
            Kind::Across => {
                a += yy;
                b -= xy;
                c += xx;
            }
            Kind::Slanted => {}
        }
    }
    if a == c && b == 0.0 {
        return angle;
    }
    let axis = 0.5 * (2.0 * b).atan2(a - c);
    // The same line, in the half turn nearest to where we come from.
    let turns = ((angle - axis) / std::f64::consts::PI).round();
    axis + turns * std::f64::consts::PI
}

/// Where consecutive walls meet.
fn corners(contour: &Contour, pieces: &[Piece], angle: f64) -> Option<Vec<Point>> {
    // A wall as normal and distance: n · p = d.
    let lines: Vec<(f64, f64, f64)> = pieces
        .iter()
        .map(|piece| {
            let run = contour.run(piece.from, piece.to);
            let direction = match piece.wall {
                Kind::Along => angle,
                Kind::Across => angle + std::f64::consts::FRAC_PI_2,
                Kind::Slanted => {
                    let (xx, xy, yy) = run.scatter();
                    0.5 * (2.0 * xy).atan2(xx - yy)
                }
            };
            let (nx, ny) = (-direction.sin(), direction.cos());
            (nx, ny, (nx * run.x + ny * run.y) / run.n)
        })
        .collect();
    let count = lines.len();
    let mut ring = Vec::with_capacity(count);
    for index in 0..count {
        let (a, b) = (lines[index], lines[(index + 1) % count]);
        let determinant = a.0 * b.1 - a.1 * b.0;
        if determinant.abs() < 0.2 {
            return None;
        }
        let x = (a.2 * b.1 - b.2 * a.1) / determinant;
        let y = (a.0 * b.2 - b.0 * a.2) / determinant;
        ring.push((x + contour.origin.0, y + contour.origin.1));
    }
    (ring.len() >= 3).then_some(ring)
}

/// A straight wall: where it lies across its direction, and from where to where along it, in pixels about the origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wall {
    /// Of the wall, in radians.
    pub direction: f64,
    pub offset: f64,
    pub from: f64,
    pub to: f64,
}

impl Wall {
    fn of(direction: f64, offset: f64, ends: [Point; 2]) -> Self {
        let (sin, cos) = direction.sin_cos();
        let [from, to] = ends.map(|(x, y)| x * cos + y * sin);
        Self { direction, offset, from: from.min(to), to: from.max(to) }
    }

    pub fn length(&self) -> f64 {
        self.to - self.from
    }

    /// Whether another wall lies on nearly the same line, and not far off along it.
    pub fn continues(&self, other: &Self, across: f64, along: f64) -> bool {
        (self.direction - other.direction).abs() < 1e-9
            && (self.offset - other.offset).abs() < across
            && self.from - along < other.to
            && other.from - along < self.to
    }

    fn at(&self, along: f64) -> Point {
        let (sin, cos) = self.direction.sin_cos();
        (along * cos - self.offset * sin, along * sin + self.offset * cos)
    }

    /// Where a point lies along the wall.
    fn along(&self, (x, y): Point) -> f64 {
        let (sin, cos) = self.direction.sin_cos();
        x * cos + y * sin
    }

    fn meets(&self, other: &Self) -> Option<Point> {
        let ((s, c), (t, d)) = (self.direction.sin_cos(), other.direction.sin_cos());
        let determinant = c * t - s * d;
        // -s·x + c·y = offset, of both.
        let (p, q) = (self.offset, other.offset);
        (determinant.abs() > 0.2).then(|| ((d * p - c * q) / determinant, (t * p - s * q) / determinant))
    }
}

/// The walls of a squared ring that run along or across the axis.
pub fn walls_of(ring: &[Point], axis: f64) -> Vec<Wall> {
    let mut walls = Vec::new();
    for (&a, &b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        for direction in [axis, axis + std::f64::consts::FRAC_PI_2] {
            let (sin, cos) = direction.sin_cos();
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            if (dx * sin - dy * cos).abs() < 1e-6 * dx.hypot(dy) {
                walls.push(Wall::of(direction, -sin * a.0 + cos * a.1, [a, b]));
            }
        }
    }
    walls
}

/// What parts two neighbours: straight walls one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    pub walls: Vec<Wall>,
    ends: [Point; 2],
    round: bool,
}

impl Party {
    /// The corners from one end to the other, longer by `reach` at both ends.
    pub fn line(&self, reach: f64) -> Option<Vec<Point>> {
        let corner = |pair: &[Wall]| pair[0].meets(&pair[1]);
        let (first, last) = (self.walls.first()?, self.walls.last()?);
        let mut line: Vec<Point> = self.walls.windows(2).map(corner).collect::<Option<_>>()?;
        if self.round {
            let start = last.meets(first)?;
            line.insert(0, start);
            line.push(start);
            return Some(line);
        }
        let away = |wall: &Wall, end: Point, inner: f64| {
            let end = wall.along(end);
            wall.at(if end >= inner { end + reach } else { end - reach })
        };
        let inner = |wall: &Wall, corner: Option<&Point>| {
            corner.map_or((wall.from + wall.to) / 2.0, |&corner| wall.along(corner))
        };
        let start = away(first, self.ends[0], inner(first, line.first()));
        let stop = away(last, self.ends[1], inner(last, line.last()));
        line.insert(0, start);
        line.push(stop);
        Some(line)
    }
}

/// Fits straight walls to the middles of the edges that two neighbours share, in their order.
/// `round`: the one is all around the other.
pub fn party(points: &[Point], round: bool, prices: Prices, axis: f64) -> Option<Party> {
    let (&first, &last) = (points.first()?, points.last()?);
    let quarter = std::f64::consts::FRAC_PI_2;
    let contour = Contour::new(points, GROUPS);
    let pieces = if round {
        // A second look begins where a wall does.
        let (pieces, _) = best_cut(&contour, axis, prices, 0)?;
        best_cut(&contour, axis, prices, pieces[pieces.len() / 2].from % contour.groups)?.0
    } else {
        best_walls(&contour, axis, prices)?
    };
    let walls = pieces.iter().map(|piece| {
        let run = contour.run(piece.from, piece.to);
        let direction = match piece.wall {
            Kind::Along => axis,
            Kind::Across => axis + quarter,
            Kind::Slanted => {
                let (xx, xy, yy) = run.scatter();
                0.5 * (2.0 * xy).atan2(xx - yy)
            }
        };
        let (sin, cos) = direction.sin_cos();
        let middle = (run.x / run.n + contour.origin.0, run.y / run.n + contour.origin.1);
        let place =
            |group: usize| points[(group % contour.groups * points.len() / contour.groups).min(points.len() - 1)];
        Wall::of(direction, -sin * middle.0 + cos * middle.1, [place(piece.from), place(piece.to - 1)])
    });
    Some(Party { walls: walls.collect(), ends: [first, last], round })
}

/// The circle through the points in the least-squares sense (Kåsa), priced like a polygon of the same freedom.
fn circle(points: &[Point], prices: Prices) -> Option<(Point, f64, f64)> {
    let n = points.len() as f64;
    let mean = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / n, sum.1 + p.1 / n));
    let (mut uu, mut uv, mut vv, mut uz, mut vz, mut z) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for point in points {
        let (u, v) = (point.0 - mean.0, point.1 - mean.1);
        let square = u * u + v * v;
        uu += u * u;
        uv += u * v;
        vv += v * v;
        uz += u * square;
        vz += v * square;
        z += square;
    }
    let determinant = uu * vv - uv * uv;
    if determinant.abs() < 1e-9 {
        return None;
    }
    let centre = ((uz * vv - vz * uv) / (2.0 * determinant), (vz * uu - uz * uv) / (2.0 * determinant));
    let radius = (centre.0 * centre.0 + centre.1 * centre.1 + z / n).sqrt();
    let residual: f64 = points
        .iter()
        .map(|point| {
            let distance = (point.0 - mean.0 - centre.0).hypot(point.1 - mean.1 - centre.1) - radius;
            distance * distance
        })
        .sum();
    // Three parameters, as a rectangle has five with its axis; buildings are more often square than round.
    Some(((mean.0 + centre.0, mean.1 + centre.1), radius, residual + 4.0 * prices.wall))
}

/// Signed area of a ring, positive when it runs clockwise as seen with row 0 on top.
pub fn area(ring: &[Point]) -> f64 {
    ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>() / 2.0
}
