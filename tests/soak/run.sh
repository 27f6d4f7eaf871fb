#!/usr/bin/env bash
# Long nights in short: many jobs in a row, then many scenes in one process. Memory and open files must stay flat, and nothing
# may be left behind.
#   tests/soak/run.sh PROGRAM [JOBS] [SCENES]     (2000 jobs, 3000 scenes; 0 leaves a part out)
# The measured values stay in target/soak/. Ends only what it started.
set -euo pipefail

program=$(realpath "${1:?usage: tests/soak/run.sh PROGRAM [JOBS] [SCENES]}")
jobs=${2:-2000}
scenes=${3:-3000}
repository=$(cd "$(dirname "$0")/../.." && pwd)
values=$repository/target/soak
mkdir -p "$values"

work=$(mktemp -d)
soaked=
finish() {
    [ -z "$soaked" ] || kill "$soaked" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
fail() {
    echo "FAILED: $1" >&2
    tail -n 5 "$work"/*.log >&2 2>/dev/null || true
    exit 1
}
# Whatever the program puts aside lies here, and must be gone in the end.
export TMPDIR=$work/tmp SEGEARTH_CACHE=$work/cache
mkdir "$TMPDIR" "$work/scenes"

# Pieces of the sample scene's middle, where all is data, each a file of its own that opens another.
side=120
for ((i = 0; i < (scenes > 20 ? scenes : 20); i++)); do
    col=$((200 + i * 37 % 320)) row=$((300 + i * 101 % 800))
    {
        echo "<VRTDataset rasterXSize=\"$side\" rasterYSize=\"$side\"><SRS>EPSG:32621</SRS>"
        echo "<GeoTransform>$((735945 + 30 * col)), 30, 0, $((-2783895 - 30 * row)), 0, -30</GeoTransform>"
        for band in 1 2 3; do
            echo "<VRTRasterBand dataType=\"UInt16\" band=\"$band\"><NoDataValue>0</NoDataValue><SimpleSource>"
            echo "<SourceFilename>$repository/sample_data/itaipu.tif</SourceFilename><SourceBand>$((4 - band))</SourceBand>"
            echo "<SrcRect xOff=\"$col\" yOff=\"$row\" xSize=\"$side\" ySize=\"$side\"/>"
            echo "<DstRect xOff=\"0\" yOff=\"0\" xSize=\"$side\" ySize=\"$side\"/></SimpleSource></VRTRasterBand>"
        done
        echo "</VRTDataset>"
    } >"$(printf '%s/scenes/%05d.vrt' "$work" "$i")"
done
cat >"$work/job.yaml" <<JOB
scene: scenes/*.vrt
model: fake:identity
classes: [red, green, blue]
method: {logit_scale: 0.05}
tiling: {window: 64, stride: 32}
outputs: {folder: results, scores: true, polygons: true, preview: true, report: true}
JOB
cd "$work"

# A tenth of the way, and the end: the middle value of a column of FILE where the first column is in that tenth of TOTAL.
#   middle FILE COLUMN TOTAL TENTH
middle() {
    awk -F, -v c="$2" -v n="$3" -v t="$4" 'NR > 1 && $1 >= n * t / 10 && $1 <= n * (t + 1) / 10 { print $c }' "$1" |
        sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'
}
least() {
    awk -F, -v c="$2" -v n="$3" -v t="$4" 'NR > 1 && $1 >= n * t / 10 && $1 <= n * (t + 1) / 10 { print $c }' "$1" |
        sort -n | head -n 1
}
# flat WHAT FILE COLUMN TOTAL: fails where the megabytes of the last tenth are 10 % and 8 MB above those of the second.
flat() {
    local early late
    early=$(middle "$2" "$3" "$4" 1) late=$(middle "$2" "$3" "$4" 9)
    [ -n "$early" ] && [ -n "$late" ] || fail "$1 went by too fast to be measured: give it more"
    awk -v a="$early" -v b="$late" 'BEGIN { exit !(b <= 1.1 * a + 8) }' || fail "memory of $1 grew from $early to $late MB"
    echo "$1: $early MB at a tenth of the way, $late MB at the end."
}
# curve FILE TOTAL: ten points of it.
curve() {
    awk -F, -v n="$2" 'NR == 1 || $1 >= n * (k + 1) / 10 {
        while (NR > 1 && $1 >= n * (k + 1) / 10) k++
        line = $0
        gsub(",", "\t", line)
        print "  " line
    }' "$1"
}

if [ "$jobs" -gt 0 ]; then
    file=$values/jobs.csv
    echo "jobs,peak MB,seconds" >"$file"
    for ((i = 1; i <= jobs; i++)); do
        started=$(date +%s%N)
        job=(run job.yaml --log json --metrics job.prom --input "$(printf 'scenes/%05d.vrt' $((i % 20)))")
        # Every tenth is refused.
        if ((i % 10 == 0)); then
            ! "$program" "${job[@]}" --set tiling.stride=0 >jobs.log 2>&1 || fail "job $i was not refused"
        else
            "$program" "${job[@]}" >jobs.log 2>&1 || fail "job $i ended with $?"
            peak=$(awk '/^segearth_peak_memory_bytes/ { printf "%.1f", $2 / 1e6 }' job.prom)
            echo "$i,$peak,$(awk -v ns=$(($(date +%s%N) - started)) 'BEGIN { printf "%.2f", ns / 1e9 }')" >>"$file"
            [ "$(find results | wc -l)" -gt 5 ] || fail "job $i made nothing"
        fi
        rm -rf results
    done
    curve "$file" "$jobs"
    flat "$jobs jobs in a row" "$file" 2 "$jobs"
fi

if [ "$scenes" -gt 0 ]; then
    file=$values/scenes.csv
    echo "scenes,MB,open files,seconds" >"$file"
    "$program" run job.yaml --log json --metrics scenes.prom >scenes.json 2>scenes.log &
    soaked=$!
    SECONDS=0
    while kill -0 "$soaked" 2>/dev/null; do
        memory=$(awk '/^VmRSS/ { printf "%.1f", $2 * 1024 / 1e6 }' "/proc/$soaked/status" 2>/dev/null || true)
        open=$(find "/proc/$soaked/fd" -mindepth 1 2>/dev/null | wc -l)
        # A process that has ended has neither.
        if [ -n "$memory" ] && [ "$open" -gt 0 ]; then
            echo "$(grep -c '"event":"summary"' scenes.json || true),$memory,$open,$SECONDS" >>"$file"
        fi
        sleep "${SOAK_INTERVAL:-1}"
    done
    wait "$soaked" || fail "the run of many scenes ended with $?"
    soaked=
    [ "$(grep -c '"event":"summary"' scenes.json)" = "$scenes" ] || fail "not every scene has a summary"
    grep -q 'state="finished"} 1' scenes.prom || fail "the metrics do not say that the run is finished"
    [ "$(find results -name '*_labels.tif' | wc -l)" = "$scenes" ] || fail "not every scene has labels"
    [ -z "$(find results -name '*.unfinished' -o -name '*.partial' -o -name '.*.part*')" ] || fail "unfinished files were left behind"
    curve "$file" "$scenes"
    flat "$scenes scenes in one process" "$file" 2 "$scenes"
    early=$(least "$file" 3 "$scenes" 1) late=$(least "$file" 3 "$scenes" 9)
    [ "$late" -le "$early" ] || fail "open files grew from $early to $late"
    echo "Open files: $early and $late."
fi
[ -z "$(ls -A "$TMPDIR")" ] || fail "temporary files were left behind: $(ls -A "$TMPDIR" | head -n 3)"
