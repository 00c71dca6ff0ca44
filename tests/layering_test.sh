#!/usr/bin/env bash
# The modules of core/ include only what lies below them, and nothing of Qt; Vulkan stays in gpu, kernels and vulkan. Run with the source folder as argument.
set -u
cd "$1" || exit 1
bad=0
complain() { echo "$1"; bad=1; }

grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]Q' core && complain "core/ includes Qt, see above"

declare -A below=([base]="")
below[memory]="base"
below[tensors]="base"
below[pytorch]="base memory tensors"
below[graph]="base"
below[model]="base graph tensors"
below[program]="base memory graph tensors model"
below[timeline]="base memory"
below[formats]="base memory tensors pytorch timeline"
below[io]="base graph tensors model"
below[job]="${below[program]} program io"
below[advise]="${below[job]} job timeline"
below[backend]="${below[advise]} advise"
below[gpu]="base memory"
below[kernels]="${below[backend]} backend gpu"
below[vulkan]="${below[kernels]} kernels"
for path in core/*/; do
    module=$(basename "$path")
    [ -n "${below[$module]+known}" ] || { complain "core/$module is a module without a rule"; continue; }
    while IFS=: read -r file line text; do
        [[ $module == kernels && $text =~ \"shaders/[a-z_]+\.h\" ]] && continue # what kernels share with their shaders
        other=$(sed -E 's@.*[<"]core/([a-z]+)/[^.].*@\1@' <<<"$text") # the line itself when it is written another way
        [[ $other == *'#'* ]] && { complain "$file:$line: write \"core/MODULE/FILE\", not $text"; continue; }
        [[ " $module ${below[$module]} " == *" $other "* ]] || complain "$file:$line: $module may not include $other"
    done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*("|<(core|app|tests|bench)/|<\.)' "$path")
done

grep -rnE '#[[:space:]]*include[[:space:]]*<vulkan/' core app | grep -vE '^core/(gpu|kernels|vulkan)/' && complain "Vulkan is known outside of its backend, see above"

# The window: engine below models below widgets. Of the engine only sources know what runs on a device.
grep -nE '"app/(models|widgets)/' app/engine/* && complain "app/engine includes what stands above it, see above"
grep -nE '"app/widgets/|<QWidget>|<QtWidgets|<QChart' app/models/* && complain "app/models knows widgets, see above"
grep -nE '"core/(backend|gpu|kernels|vulkan)/' app/models/* app/widgets/* app/engine/*.h && complain "the window knows what runs on a device, see above"

# An index into an array behind an address is multiplied in the index's own 32 bits by some drivers: see addresses.glsl.
grep -nE 'buffer_reference.*\[[^]]*\]' shaders/* && complain "a buffer reference is an array, see above; shaders/addresses.glsl says what goes instead"

while read -r count file; do
    [ "$count" -le 600 ] || [ "$file" = total ] || complain "$file has $count lines; over 600 hides a second module"
done < <(find core app -type f -exec wc -l {} +)
exit $bad
