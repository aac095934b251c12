invariant gl_Position;
uniform mat4 clip_from_head;
in vec3 position;
in vec3 normal;
in vec4 paint;  // colour (linear) and how shiny
out vec3 v_position, v_normal;
out vec4 v_paint;

void main() {
    v_position = position; v_normal = normal; v_paint = paint;
    bend(v_position, v_normal);
    gl_ClipDistance[0] = 1.0;
    gl_Position = clip_from_head * vec4(v_position, 1.0);
}
