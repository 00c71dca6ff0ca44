# Sourced by the other scripts. need_packages NAME…: installs with apt what is missing, and does nothing when nothing is.

build_packages=(g++ cmake ninja-build libvulkan1 libvulkan-dev mesa-vulkan-drivers glslang-dev glslang-tools spirv-tools libfmt-dev
    nlohmann-json3-dev libcli11-dev libexpected-dev libpng-dev libjpeg62-turbo-dev libwebp-dev zlib1g-dev)
window_packages=(qt6-base-dev libqt6opengl6-dev qt6-charts-dev qt6-svg-dev libqt6svg6 fonts-dejavu-core)
test_packages=(libgtest-dev libbenchmark-dev vulkan-validationlayers xvfb xauth desktop-file-utils clang-format clang-tidy)

# build_release TARGET…: into build/release under $root, which is made at first.
build_release() {
    build=$root/build/release
    [ -f "$build/build.ninja" ] || cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPIKESCOPE_TESTS=OFF -DSPIKESCOPE_BENCH=OFF
    ninja -C "$build" --quiet "$@"
}

need_packages() {
    local missing=() name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local run=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "These packages are missing: ${missing[*]}. Install them as root, or install sudo." >&2; return 1; }
        run=(sudo)
    fi
    echo "Installing ${missing[*]}"
    "${run[@]}" apt-get update -q
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}
