# Which package provides which third-party library. Shared by the build and by the installed package, whose
# config file finds again what the exported layers link.

include_guard(GLOBAL)

# <imported target> <arguments of find_package>
set(STATOR_PACKAGE_OF
    "benchmark::benchmark|benchmark"
    "benchmark::benchmark_main|benchmark"
    "Boost::headers|Boost 1.81"
    "CLI11::CLI11|CLI11 2.1"
    "fmt::fmt|fmt 9"
    "gRPC::grpc++|gRPC"
    "GTest::gmock|GTest"
    "GTest::gtest|GTest"
    "GTest::gtest_main|GTest"
    "nlohmann_json::nlohmann_json|nlohmann_json 3.11"
    "OpenSSL::Crypto|OpenSSL 3.0"
    "OpenSSL::SSL|OpenSSL 3.0"
    "prometheus-cpp::core|prometheus-cpp"
    "protobuf::libprotobuf|Protobuf"
    "spdlog::spdlog|spdlog 1.10"
    "Threads::Threads|Threads"
    "tomlplusplus::tomlplusplus|tomlplusplus 3.3"
)

# stator_package_of(<variable> <library>): the arguments of find_package for it.
function(stator_package_of variable library)
    foreach(entry IN LISTS STATOR_PACKAGE_OF)
        if(entry MATCHES "^([^|]+)[|](.+)$" AND CMAKE_MATCH_1 STREQUAL library)
            string(REPLACE " " ";" package "${CMAKE_MATCH_2}")
            set(${variable} ${package} PARENT_SCOPE)
            return()
        endif()
    endforeach()
    message(FATAL_ERROR "stator: add ${library} to cmake/StatorDependencies.cmake")
endfunction()

# stator_find_libraries(<library>...): finds the package of each imported target, visible everywhere in the
# build. Our own targets and plain linker names pass through.
function(stator_find_libraries)
    set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
    foreach(library IN LISTS ARGN)
        if(TARGET ${library} OR NOT library MATCHES "::" OR library MATCHES "^stator::")
            continue()
        endif()
        stator_package_of(package ${library})
        find_package(${package} REQUIRED QUIET)
        if(NOT TARGET ${library})
            message(FATAL_ERROR "stator: the package '${package}' does not define ${library}")
        endif()
    endforeach()
endfunction()

# Linked privately, these leave nothing in a static library that its users must link.
set(STATOR_HEADER_ONLY Boost::headers CLI11::CLI11 nlohmann_json::nlohmann_json)

# stator_hide_header_only(<variable> <library>...): the list with those kept out of the installed package.
function(stator_hide_header_only variable)
    set(result "")
    foreach(library IN LISTS ARGN)
        if(library IN_LIST STATOR_HEADER_ONLY)
            set(library "$<BUILD_INTERFACE:${library}>")
        endif()
        list(APPEND result "${library}")
    endforeach()
    set(${variable} ${result} PARENT_SCOPE)
endfunction()
