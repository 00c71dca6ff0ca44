#!/usr/bin/env bash
# The rooms of core/ include only what lies below them, and nothing of Qt. Run with the source folder as argument.
set -u
cd "$1" || exit 1
bad=0
complain() { echo "$1"; bad=1; }

grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]Q' core && complain "core/ includes Qt, see above"

declare -A below=(
    [base]="" [memory]="base" [pytorch]="base memory" [graph]="base" [model]="base graph" [program]="base memory graph model" [gpu]="base memory"
    [kernels]="base memory graph model program gpu" [timeline]="base memory"
    [formats]="base memory pytorch timeline"
    [run]="base memory graph model program gpu kernels timeline")
for path in core/*/; do
    room=$(basename "$path")
    [ -n "${below[$room]+known}" ] || { complain "core/$room is a room without a rule"; continue; }
    while IFS=: read -r file line text; do
        [[ $room == kernels && $text =~ \"shaders/[a-z_]+\.h\" ]] && continue # what kernels share with their shaders
        other=$(sed -E 's@.*[<"]core/([a-z]+)/[^.].*@\1@' <<<"$text") # the line itself when it is written another way
        [[ $other == *'#'* ]] && { complain "$file:$line: write \"core/ROOM/FILE\", not $text"; continue; }
        [[ " $room ${below[$room]} " == *" $other "* ]] || complain "$file:$line: $room may not include $other"
    done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*("|<(core|app|tests|bench)/|<\.)' "$path")
done

# The window: engine below models below widgets. Of the engine only sources know what runs on a device.
grep -nE '"app/(models|widgets)/' app/engine/* && complain "app/engine includes what stands above it, see above"
grep -nE '"app/widgets/|<QWidget>|<QtWidgets|<QChart' app/models/* && complain "app/models knows widgets, see above"
grep -nE '"core/(gpu|kernels|run)/' app/models/* app/widgets/* app/engine/*.h | grep -v '^app/engine/preview_sink.h:' && complain "the window knows what runs on a device, see above"

# An index into an array behind an address is multiplied in the index's own 32 bits by some drivers: see addresses.glsl.
grep -nE 'buffer_reference.*\[[^]]*\]' shaders/* && complain "a buffer reference is an array, see above; shaders/addresses.glsl says what goes instead"

while read -r count file; do
    [ "$count" -le 600 ] || [ "$file" = total ] || complain "$file has $count lines; over 600 hides a second room"
done < <(find core app -type f -exec wc -l {} +)
exit $bad
