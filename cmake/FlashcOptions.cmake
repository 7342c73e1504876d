# Warnings and sanitizers that every target of the project shares.
add_compile_options(-Wall -Wextra -Wno-unused-parameter)
if(FLASHC_SANITIZE)
  add_compile_options(-fsanitize=${FLASHC_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FLASHC_SANITIZE})
endif()
