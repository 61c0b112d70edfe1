# The functions that declare everything stator builds: layers, tests, fuzzers, benchmarks, examples, tools.

include_guard(GLOBAL)
include(StatorOptions)
include(StatorDependencies)
include(GNUInstallDirs)

# stator_add_folder(<folder>): adds the folder once, if it has a CMakeLists.txt.
function(stator_add_folder folder)
    get_property(added GLOBAL PROPERTY STATOR_FOLDERS)
    if(NOT folder IN_LIST added AND EXISTS "${PROJECT_SOURCE_DIR}/${folder}/CMakeLists.txt")
        set_property(GLOBAL APPEND PROPERTY STATOR_FOLDERS "${folder}")
        add_subdirectory("${PROJECT_SOURCE_DIR}/${folder}" "${PROJECT_BINARY_DIR}/${folder}")
    endif()
endfunction()

# stator_add_folders_below(<folder>): adds what is left of <folder>/*; a new folder is seen at the next build.
function(stator_add_folders_below folder)
    file(
        GLOB lists
        CONFIGURE_DEPENDS
        RELATIVE "${PROJECT_SOURCE_DIR}"
        "${PROJECT_SOURCE_DIR}/${folder}/*/CMakeLists.txt"
    )
    foreach(list IN LISTS lists)
        cmake_path(GET list PARENT_PATH below)
        stator_add_folder("${below}")
    endforeach()
endfunction()

# A layer added to src/ is seen at the next build, without a manual configure.
file(GLOB ignored CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*/CMakeLists.txt")

# stator_layer(<name> [SOURCES ...] [DEPENDS <layer>...] [PUBLIC_LIBS ...] [PRIVATE_LIBS ...])
#
# The static library stator_<name>, alias stator::<name>; header-only (INTERFACE) without SOURCES.
# Third-party libraries are found by name (StatorDependencies.cmake); fmt is always linked.
# Public headers are in include/stator/<name>/; private ones are included as "<name>/x.hpp".
function(stator_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;PUBLIC_LIBS;PRIVATE_LIBS")
    stator_refuse_unparsed("stator_layer(${name})" "${arg_UNPARSED_ARGUMENTS}")

    set(target stator_${name})
    stator_find_libraries(fmt::fmt ${arg_PUBLIC_LIBS} ${arg_PRIVATE_LIBS})
    set(depends "")
    foreach(layer IN LISTS arg_DEPENDS)
        if(NOT TARGET stator_${layer})
            message(
                FATAL_ERROR
                "stator: layer '${name}' depends on '${layer}', which src/${layer}/CMakeLists.txt "
                "does not declare, or which comes later in STATOR_LAYERS."
            )
        endif()
        list(APPEND depends stator::${layer})
    endforeach()

    if(arg_SOURCES)
        add_library(${target} STATIC ${arg_SOURCES})
        set(scope PUBLIC)
        target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
        stator_hide_header_only(private_libraries ${arg_PRIVATE_LIBS})
        target_link_libraries(
            ${target} PRIVATE $<BUILD_INTERFACE:stator_compile_options> ${private_libraries}
        )
    else()
        if(arg_PRIVATE_LIBS)
            message(FATAL_ERROR "stator: layer '${name}' has no sources to link PRIVATE_LIBS into")
        endif()
        add_library(${target} INTERFACE)
        set(scope INTERFACE)
    endif()
    target_compile_features(${target} ${scope} cxx_std_23)
    target_include_directories(
        ${target}
        ${scope}
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    )
    target_link_libraries(${target} ${scope} fmt::fmt ${depends} ${arg_PUBLIC_LIBS})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
    add_library(stator::${name} ALIAS ${target})
    set_property(GLOBAL APPEND PROPERTY STATOR_LAYER_TARGETS ${target})
endfunction()

# stator_module(<target> LAYER <layer> SOURCES ... LIBS ...)
#
# <target>.so in lib/stator, which the layer loads when it first needs it, so that no other program pays for LIBS.
function(stator_module target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "LAYER" "SOURCES;LIBS")
    stator_refuse_unparsed("stator_module(${target})" "${arg_UNPARSED_ARGUMENTS}")
    set(module ${target}_module)
    add_library(${module} MODULE ${arg_SOURCES})
    target_compile_features(${module} PRIVATE cxx_std_23)
    target_include_directories(
        ${module} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include"
    )
    target_link_libraries(${module} PRIVATE stator_compile_options ${arg_LIBS})
    set_target_properties(
        ${module}
        PROPERTIES
            OUTPUT_NAME ${target}
            PREFIX ""
            CXX_VISIBILITY_PRESET hidden
            LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib/stator"
    )
    # What uses the layer can be run when it has been built.
    add_dependencies(stator_${arg_LAYER} ${module})
    if(STATOR_INSTALL)
        install(TARGETS ${module} LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}/stator")
    endif()
endfunction()

# stator_executable(<target> SOURCES ... LIBS ... [FOLDER <below bin>]): what the functions below share.
function(stator_executable target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOLDER" "SOURCES;LIBS")
    stator_find_libraries(fmt::fmt ${arg_LIBS})
    add_executable(${target} ${arg_SOURCES})
    target_compile_features(${target} PRIVATE cxx_std_23)
    target_include_directories(
        ${target} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}"
    )
    target_link_libraries(${target} PRIVATE stator_compile_options ${arg_LIBS} fmt::fmt)
    if(arg_FOLDER)
        set_target_properties(
            ${target}
            PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/${arg_FOLDER}"
        )
    endif()
endfunction()

# stator_label_target(<target> <label>...): target tests_<label> builds what the tests of that label run.
function(stator_label_target target)
    foreach(label IN LISTS ARGN)
        if(NOT TARGET tests_${label})
            add_custom_target(tests_${label})
        endif()
        add_dependencies(tests_${label} ${target})
    endforeach()
endfunction()

# stator_test(<name> LABEL <label>... SOURCES ... [LIBS ...] [TIMEOUT <seconds>] [ARGS ...] [RUN_SERIAL])
#
# One GoogleTest executable, bin/tests/<name>, and one ctest test of that name. The first label says when it
# runs: unit and integration by default, any other by name. A sources list with its own main() works as well.
function(stator_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "RUN_SERIAL" "TIMEOUT" "LABEL;SOURCES;LIBS;ARGS")
    stator_refuse_unparsed("stator_test(${name})" "${arg_UNPARSED_ARGUMENTS}")
    if(NOT arg_LABEL OR NOT arg_SOURCES)
        message(FATAL_ERROR "stator: stator_test(${name}) needs LABEL and SOURCES")
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    stator_executable(
        ${name}
        FOLDER tests
        SOURCES ${arg_SOURCES}
        LIBS ${arg_LIBS} GTest::gtest GTest::gmock GTest::gtest_main
    )
    stator_label_target(${name} ${arg_LABEL})
    add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
    set_tests_properties(
        ${name}
        PROPERTIES
            LABELS "${arg_LABEL}"
            TIMEOUT ${arg_TIMEOUT}
            RUN_SERIAL "${arg_RUN_SERIAL}"
            ENVIRONMENT "${STATOR_TEST_ENVIRONMENT}"
    )
endfunction()

# stator_fuzzer(<name> SOURCES ... [LIBS ...] CORPUS <folder> [SECONDS <n>])
#
# SOURCES define LLVMFuzzerTestOneInput. With STATOR_FUZZ: a libFuzzer binary, run for SECONDS (default 20) by
# ctest label `fuzz`; what it finds new goes to the build tree. Without: the same entry point replays the corpus
# once, as a unit test (label `corpus`, too).
function(stator_fuzzer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "CORPUS;SECONDS" "SOURCES;LIBS")
    stator_refuse_unparsed("stator_fuzzer(${name})" "${arg_UNPARSED_ARGUMENTS}")
    cmake_path(ABSOLUTE_PATH arg_CORPUS BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    file(GLOB seeds CONFIGURE_DEPENDS "${arg_CORPUS}/*")
    if(NOT seeds)
        message(FATAL_ERROR "stator: stator_fuzzer(${name}): no seed in CORPUS ${arg_CORPUS}")
    endif()
    if(NOT arg_SECONDS)
        set(arg_SECONDS 20)
    endif()
    if(NOT STATOR_FUZZ)
        list(APPEND arg_SOURCES "${PROJECT_SOURCE_DIR}/tests/support/replay_main.cpp")
    endif()
    stator_executable(${name} FOLDER fuzz SOURCES ${arg_SOURCES} LIBS ${arg_LIBS})
    if(STATOR_FUZZ)
        stator_label_target(${name} fuzz)
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        set(found "${PROJECT_BINARY_DIR}/fuzz/${name}")
        file(MAKE_DIRECTORY "${found}")
        math(EXPR timeout "${arg_SECONDS} + 60")
        add_test(
            NAME ${name}
            COMMAND
                ${name} -max_total_time=${arg_SECONDS} -timeout=10 -rss_limit_mb=2048
                -print_final_stats=1 "-artifact_prefix=${found}/" "${found}" "${arg_CORPUS}"
        )
        set_tests_properties(
            ${name}
            PROPERTIES
                LABELS fuzz
                TIMEOUT ${timeout}
                ENVIRONMENT "${STATOR_TEST_ENVIRONMENT}"
        )
    else()
        stator_label_target(${name} unit)
        add_test(NAME ${name}_replay COMMAND ${name} "${arg_CORPUS}")
        set_tests_properties(
            ${name}_replay
            PROPERTIES
                LABELS "unit;corpus"
                TIMEOUT 60
                ENVIRONMENT "${STATOR_TEST_ENVIRONMENT}"
        )
    endif()
endfunction()

# stator_benchmark(<name> SOURCES ... [LIBS ...] [GOOGLE]): bin/<name>; GOOGLE links Google Benchmark's main and,
# where that is not installed, leaves the benchmark out: only ./dev bench needs it.
function(stator_benchmark name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "GOOGLE" "" "SOURCES;LIBS")
    stator_refuse_unparsed("stator_benchmark(${name})" "${arg_UNPARSED_ARGUMENTS}")
    if(arg_GOOGLE)
        find_package(benchmark QUIET)
        if(NOT benchmark_FOUND)
            message(STATUS "stator: no Google Benchmark, so no ${name}")
            return()
        endif()
        list(APPEND arg_LIBS benchmark::benchmark benchmark::benchmark_main)
    endif()
    stator_executable(${name} SOURCES ${arg_SOURCES} LIBS ${arg_LIBS})
endfunction()

# stator_example(<name> SOURCES ... [LIBS ...]): bin/<name>.
function(stator_example name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
    stator_refuse_unparsed("stator_example(${name})" "${arg_UNPARSED_ARGUMENTS}")
    stator_executable(${name} SOURCES ${arg_SOURCES} LIBS ${arg_LIBS})
endfunction()

# stator_tool(<name> SOURCES ... [LIBS ...] [OUTPUT <file name>] [INSTALL]): bin/<name>, installed if asked.
# The command line tool is stator_tool(stator_cli_main OUTPUT stator ... INSTALL).
function(stator_tool name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "INSTALL" "OUTPUT" "SOURCES;LIBS")
    stator_refuse_unparsed("stator_tool(${name})" "${arg_UNPARSED_ARGUMENTS}")
    stator_executable(${name} SOURCES ${arg_SOURCES} LIBS ${arg_LIBS})
    if(arg_OUTPUT)
        set_target_properties(${name} PROPERTIES OUTPUT_NAME ${arg_OUTPUT})
    endif()
    if(arg_INSTALL AND STATOR_INSTALL)
        install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    endif()
endfunction()

# stator_add_header_checks(): target check_headers compiles a generated source per public header, which proves
# that each one includes what it needs. Part of the default build with STATOR_CHECK_HEADERS.
function(stator_add_header_checks)
    set(sources "")
    set(libraries "")
    foreach(layer IN LISTS STATOR_LAYERS)
        if(NOT TARGET stator_${layer})
            continue()
        endif()
        list(APPEND libraries stator::${layer})
        file(
            GLOB_RECURSE headers
            CONFIGURE_DEPENDS
            RELATIVE "${PROJECT_SOURCE_DIR}/include"
            "${PROJECT_SOURCE_DIR}/include/stator/${layer}/*.hpp"
        )
        foreach(header IN LISTS headers)
            string(REPLACE "/" "_" stem "${header}")
            set(source "${PROJECT_BINARY_DIR}/check_headers/${stem}.cpp")
            # Twice: the second must be a no-op, or the header lacks its guard.
            file(
                CONFIGURE
                OUTPUT "${source}"
                CONTENT "#include \"@header@\"\n#include \"@header@\"\n"
                @ONLY
            )
            list(APPEND sources "${source}")
        endforeach()
    endforeach()
    if(NOT sources)
        return()
    endif()
    set(exclude EXCLUDE_FROM_ALL)
    if(STATOR_CHECK_HEADERS)
        set(exclude "")
    endif()
    add_library(check_headers OBJECT ${exclude} ${sources})
    target_compile_features(check_headers PRIVATE cxx_std_23)
    target_link_libraries(check_headers PRIVATE stator_compile_options ${libraries})
endfunction()

function(stator_refuse_unparsed what unparsed)
    if(unparsed)
        message(FATAL_ERROR "stator: ${what} does not know: ${unparsed}")
    endif()
endfunction()
