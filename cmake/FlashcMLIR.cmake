# Finds LLVM and MLIR 19.1 and declares what the compiler's libraries are built with.
find_program(LLVM_CONFIG NAMES llvm-config-19 llvm-config)
if(LLVM_CONFIG AND NOT DEFINED MLIR_DIR)
  execute_process(COMMAND ${LLVM_CONFIG} --cmakedir OUTPUT_VARIABLE llvm_cmake_dir OUTPUT_STRIP_TRAILING_WHITESPACE)
  get_filename_component(llvm_cmake_root ${llvm_cmake_dir} DIRECTORY)
  set(MLIR_DIR ${llvm_cmake_root}/mlir)
  set(LLVM_DIR ${llvm_cmake_dir})
endif()
find_package(MLIR 19.1 REQUIRED CONFIG)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

# LLVM is built without RTTI and exceptions; so is everything that derives from its classes.
# -fvisibility-inlines-hidden as LLVM itself, so that templates of its headers stay private.
add_library(FlashcMLIROptions INTERFACE)
target_compile_definitions(FlashcMLIROptions INTERFACE ${LLVM_DEFINITIONS})
target_compile_options(FlashcMLIROptions INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti -fno-exceptions -fvisibility-inlines-hidden>)
target_include_directories(FlashcMLIROptions SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
target_link_libraries(FlashcMLIROptions INTERFACE MLIR LLVM)

# flashc_tablegen(<target> <file.td> <output> <mlir-tblgen arguments>...) can be called several times for one target;
# flashc_tablegen_done(<target>) then declares it.
macro(flashc_tablegen target td output)
  set(LLVM_TARGET_DEFINITIONS ${td})
  mlir_tablegen(${output} ${ARGN} EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
endmacro()
macro(flashc_tablegen_done target)
  add_public_tablegen_target(${target})
endmacro()

# flashc_add_library(<name> SOURCES ... [DEPENDS tablegen targets...] [LINK libraries...]): a static library that sees MLIR.
function(flashc_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
  target_link_libraries(${name} PUBLIC FlashcMLIROptions ${ARG_LINK})
endfunction()
