# Warnings and sanitizers that every target of the project shares.
add_compile_options(-Wall -Wextra -Wno-unused-parameter)
if(FLASHC_SANITIZE)
  add_compile_options(-fsanitize=${FLASHC_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FLASHC_SANITIZE})
endif()

# Compile through ccache where it is installed and nothing else was asked for.
if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(FLASHC_CCACHE ccache)
  if(FLASHC_CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${FLASHC_CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${FLASHC_CCACHE})
  endif()
endif()

# What a binary is made of, as a hash in the binary: the kernel cache tells builds of the compiler apart by it.
add_link_options(-Wl,--build-id=sha1)
