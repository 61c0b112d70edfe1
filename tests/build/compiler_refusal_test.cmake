# Configuring with g++ 12 fails, and says why and what to do.

file(REMOVE_RECURSE "${BUILD}")
execute_process(
    COMMAND ${CMAKE_COMMAND} -S "${SOURCE}" -B "${BUILD}" -G Ninja "-DCMAKE_CXX_COMPILER=${COMPILER}"
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output
)
message("${output}")
if(result EQUAL 0)
    message(FATAL_ERROR "configuring with ${COMPILER} succeeded")
endif()
foreach(part IN ITEMS
    "gets C++23 coroutines wrong"
    "${COMPILER} (GNU 12."
    "takes the wrong branch after awaiting a bool"
    "destroys an object passed to a coroutine twice"
    "apt-get install clang-19"
    "cmake --preset release"
    "CMAKE_CXX_COMPILER=clang++-19"
)
    string(FIND "${output}" "${part}" position)
    if(position EQUAL -1)
        message(FATAL_ERROR "the message lacks: ${part}")
    endif()
endforeach()
