# Compile and link options: warnings for our own code only (stator_compile_options, never exported), sanitizers
# for everything in this build.

include_guard(GLOBAL)
include(CheckLinkerFlag)

set(CMAKE_CXX_EXTENSIONS OFF)

add_library(stator_compile_options INTERFACE)
target_compile_options(
    stator_compile_options
    INTERFACE
        -Wall
        -Wextra
        -Wpedantic
        -Wshadow
        -Wconversion
        -Wno-sign-conversion
        -Wold-style-cast
        -Wcast-align
        -Wnon-virtual-dtor
        -Woverloaded-virtual
        -Wimplicit-fallthrough
        -Wextra-semi
        -Wnull-dereference
        $<$<CXX_COMPILER_ID:Clang>:-Wdocumentation>
        $<$<CXX_COMPILER_ID:Clang>:-Wunreachable-code-aggressive>
        $<$<BOOL:${STATOR_WERROR}>:-Werror>
        -fdiagnostics-color=always
)
# Bounds checks of the library in every build with assertions. They do not change its ABI.
target_compile_definitions(
    stator_compile_options INTERFACE $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>
)

if(PROJECT_IS_TOP_LEVEL)
    check_linker_flag(CXX -fuse-ld=lld STATOR_HAVE_LLD)
    if(STATOR_HAVE_LLD)
        add_link_options(-fuse-ld=lld)
    endif()
    find_program(STATOR_CCACHE ccache)
    if(STATOR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
        set(CMAKE_CXX_COMPILER_LAUNCHER "${STATOR_CCACHE}")
    endif()
endif()

set(sanitizers "${STATOR_SANITIZE}")
if(STATOR_FUZZ)
    if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "stator: STATOR_FUZZ needs clang, which has libFuzzer")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_link_options(-fsanitize=fuzzer-no-link)
endif()
if(sanitizers)
    add_compile_options(
        -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g
    )
    add_link_options(-fsanitize=${sanitizers})
endif()
if(STATOR_COVERAGE)
    add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
    add_link_options(-fprofile-instr-generate)
endif()

# What every test runs with: sanitizers that stop at the first report and say where.
set(STATOR_TEST_ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
)
