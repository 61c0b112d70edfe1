include_guard(GLOBAL)

function(stator_check_coroutine_codegen)
endfunction()
