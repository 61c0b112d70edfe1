# Refuses, at configure time, a compiler that generates wrong code for coroutines (g++ 12 does). What it does,
# not what it is called, decides: a later g++ that passes may be used.

include_guard(GLOBAL)

function(stator_check_coroutine_codegen)
    if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
        message(WARNING "stator: cross compiling, so the coroutine check cannot run")
        return()
    endif()
    set(probe "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/probes/coroutine_codegen.cpp")
    if(NOT DEFINED STATOR_COROUTINE_DEFECTS)
        try_run(
            STATOR_COROUTINE_DEFECTS STATOR_COROUTINES_COMPILE
            SOURCES "${probe}"
            CXX_STANDARD 23
            CXX_STANDARD_REQUIRED ON
            COMPILE_OUTPUT_VARIABLE output
        )
        file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/coroutine_codegen.log" "${output}")
    endif()
    if(STATOR_COROUTINES_COMPILE AND STATOR_COROUTINE_DEFECTS STREQUAL "0")
        return()
    endif()

    set(wrong_branch "  it takes the wrong branch after awaiting a bool\n")
    set(double_destroy "  it destroys an object passed to a coroutine twice\n")
    if(NOT STATOR_COROUTINES_COMPILE)
        set(defect "  it cannot compile them: ${CMAKE_CURRENT_BINARY_DIR}/coroutine_codegen.log\n")
    elseif(STATOR_COROUTINE_DEFECTS STREQUAL "1")
        set(defect "${wrong_branch}")
    elseif(STATOR_COROUTINE_DEFECTS STREQUAL "2")
        set(defect "${double_destroy}")
    elseif(STATOR_COROUTINE_DEFECTS STREQUAL "3")
        set(defect "${wrong_branch}${double_destroy}")
    else()
        set(defect "  the program it builds ends with ${STATOR_COROUTINE_DEFECTS}\n")
    endif()
    # Lines that start with a blank are shown as they are.
    message(
        FATAL_ERROR
        " stator: this compiler gets C++23 coroutines wrong:\n"
        "  ${CMAKE_CXX_COMPILER} (${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION})\n"
        "${defect}"
        "  (the check is ${probe})\n"
        " Install clang 19:    apt-get install clang-19 lld-19    (or ./dev setup)\n"
        " and select it, in an empty build folder, with one of\n"
        "  cmake --preset release\n"
        "  cmake -DCMAKE_CXX_COMPILER=clang++-19 ...\n"
        "  CXX=clang++-19 cmake ...\n"
    )
endfunction()
